"""Run compiled modules, measure their memory and time, and detect wrong plans."""

from tvm_memopt.runtime.execute import outputs_equal, run_module
from tvm_memopt.runtime.measure import MemoryMeasurement, Storage, measure_memory
from tvm_memopt.runtime.poison import PoisonResult, poison_run
from tvm_memopt.runtime.timing import Spread, TimeComparison, compare_times
from tvm_memopt.runtime.trace import Conflict

__all__ = [
    "Conflict",
    "MemoryMeasurement",
    "PoisonResult",
    "Spread",
    "Storage",
    "TimeComparison",
    "compare_times",
    "measure_memory",
    "outputs_equal",
    "poison_run",
    "run_module",
]
