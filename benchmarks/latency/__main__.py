"""The command: each model in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.child import row_in_process
from benchmarks.tables import RESULTS, geometric_mean, save, table

HEADER = (
    "model", "kernels", "scheduled", "search s", "default ms", "predicted ms", "tuned ms", "onnxruntime ms",
    "predicted/default", "predicted/onnxruntime", "difference", "default bytes", "predicted bytes", "as planned",
    "onnxruntime bytes",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the set, or one model in this process (--one)."""
    options = _parse(arguments)
    if options.one:
        from benchmarks.latency.run import measure_model

        row = measure_model(options.one, options.schedule_seconds, options.repeats, options.trials)
        Path(options.out).write_text(json.dumps(row))
        return 0
    from benchmarks import zoo

    path = RESULTS / "latency.json"
    results = dict(json.loads(path.read_text())["rows"]) if options.resume and path.exists() else {}
    for name in options.names or list(zoo.MODELS):
        if name in results and "error" not in results[name]:
            continue
        results[name] = _in_process(name, options)
        print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
        save("latency", {"rows": results})
    print(render(results))
    return 0


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, the geometric means of the ratios, and the models without figures."""
    measured = {name: row for name, row in rows.items() if "cpu_ms" in row}
    lines = [table(HEADER, [_cells(name, row) for name, row in measured.items()])]
    for what, figures in (("CPU time", "cpu_ms"), ("peak bytes", "peak_nbytes")):
        for other in ("default", "onnxruntime"):
            ratios = [r for row in measured.values() if (r := _ratio(row, other, figures)) is not None]
            if ratios:
                mean, worst = geometric_mean(ratios), max(ratios)
                lines.append(
                    f"{what}, predicted / {other}: geometric mean {mean:.3f} of {len(ratios)}, worst {worst:.3f}"
                )
    lines += [f"{name}: {row.get('skipped') or row.get('error')}" for name, row in rows.items() if name not in measured]
    return "\n".join(lines)


def _cells(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    times, memory = row["cpu_ms"], row["peak_nbytes"]
    return (
        name, row["kernels"], row["scheduled"], row["search_seconds"],
        *(times.get(build) for build in ("default", "predicted", "tuned", "onnxruntime")),
        _ratio(row, "default"), _ratio(row, "onnxruntime"), f"{row['difference']:.1e}", memory["default"],
        memory["predicted"], row["as_planned"], memory.get("onnxruntime"),
    )  # fmt: skip


def _ratio(row: Mapping[str, Any], other: str, figures: str = "cpu_ms") -> float | None:
    found = row[figures]
    return found["predicted"] / found[other] if other in found else None


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("names", nargs="*", help="models; default: the whole set")
    parser.add_argument("--schedule-seconds", type=float, default=90.0, help="seconds to search schedules (default 90)")
    parser.add_argument("--trials", type=int, default=0, help="candidates to tune with (default 0: no tuning)")
    parser.add_argument("--repeats", type=int, default=20, help="timed calls of each build (default 20)")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _in_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks import zoo

    missing = zoo.available(name)
    if missing is not None:
        return {"skipped": missing}
    given = []
    for option in ("schedule_seconds", "repeats", "trials"):
        given += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    environment = {**os.environ, "TVM_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return row_in_process("benchmarks.latency", name, given, environment)


if __name__ == "__main__":
    raise SystemExit(main())
