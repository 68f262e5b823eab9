"""What ``tvm-memopt optimize`` is asked to do, with either front end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_memopt.targets import DeviceProfile


@dataclass(frozen=True)
class Arguments:
    """Arguments and options of ``tvm-memopt optimize``."""

    model: str
    output: str
    plan_file: str | None
    report_dir: str | None
    measure: bool
    exec_mode: str
    caller_arena: bool
    cc: str | None
    budget: str | None
    time_limit: float
    threads: int | None
    seed: int
    shapes: tuple[str, ...]
    override_shapes: tuple[str, ...]
    target: str
    fold: str
    split: str
    narrow: str
    integer: bool | None
    overlap: str
    io_in_arena: str
    no_inplace: bool
    measure_costs: bool
    predict_costs: str | None
    rpc: str | None
    tracker: str | None
    key: str | None
    schedules: str
    schedule_seconds: float
    strict: bool
    as_json: bool
    frontend: str | None
    executor: str | None
    device: DeviceProfile | None
