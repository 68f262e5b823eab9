"""Plans inside Relay-era TVM's relay.build, beside its static memory planner: ``python -m benchmarks.relay [NAME...]``.

Each network is built unmodified and planned, for the graph and the ahead-of-time executor. Reported are the workspace
pool of the ahead-of-time executor with the best of TVM's three algorithms on the given order and with our plan, the
constants beside it, the storages of the graph executor, whether outputs are equal bit for bit on both executors,
whether the order read back from the built module is the plan's, and the time of a call relative to the unmodified
module's. ``--budget`` adds a build with recomputation; a percentage is relative to our pool without a budget. Each
network runs in a separate process. Results are saved immediately, and ``--resume`` keeps those that are there. Needs
the environment that ``make test-relay`` makes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.child import row_in_process
from benchmarks.tables import RESULTS, geometric_mean, save, table

_COLUMNS = {
    "calls": "calls",
    "theirs_nbytes": "best of TVM's",
    "pool_nbytes": "our pool",
    "ratio": "ratio",
    "bound_nbytes": "bound",
    "scratch_nbytes": "scratch in it",
    "constants_nbytes": "constants",
    "storage_given_nbytes": "TVM storages",
    "storage_nbytes": "our storages",
    "equal": "equal",
    "theirs_equal": "TVM's AOT equal",
    "order_as_planned": "order",
    "pool_as_planned": "pool = plan",
    "seconds_ratio": "time",
}
_BUDGET_COLUMNS = ("budget_nbytes", "pool_nbytes", "repeats", "equal", "predicted_extra", "measured_extra")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the networks, or one in this process (--one)."""
    options = _parse(arguments)
    if options.one:
        from benchmarks.relay.measure import measure_network

        row = measure_network(options.one, options.time_limit, options.repeats, options.budget)
        Path(options.out).write_text(json.dumps(row))
        return 0
    from benchmarks.relay.networks import NETWORKS

    rows: dict[str, Any] = _previous(options.save) if options.resume else {}
    for name in options.names or list(NETWORKS):
        if name not in rows or "error" in rows[name]:
            rows[name] = _in_process(name, options)
            print(f"{name}: {_progress(rows[name])}", file=sys.stderr, flush=True)
            save(options.save, {"rows": rows})
    print(render(rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; default: all")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds to search each function (default 10)")
    parser.add_argument("--repeats", type=int, default=10, help="timed calls of each build (default 10)")
    parser.add_argument("--budget", help="also build with this budget, such as 70%% of our pool without one")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there")
    parser.add_argument("--save", default="relay", help="benchmarks/results/NAME.json (default relay)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _previous(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())["rows"]) if path.exists() else {}


def _in_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    limits = ["--time-limit", str(options.time_limit), "--repeats", str(options.repeats)]
    return row_in_process("benchmarks.relay", name, limits + (["--budget", options.budget] if options.budget else []))


def _progress(row: Mapping[str, Any]) -> str:
    if "ratio" not in row:
        return str(row.get("error") or row.get("note"))
    return f"pool {row['pool_nbytes']:,}, ratio {row['ratio']:.3f}, equal {row['equal']}"


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables, and what could not be built."""
    planned = {name: row for name, row in rows.items() if "ratio" in row}
    cells = [(name, *(row.get(key) for key in _COLUMNS)) for name, row in planned.items()]
    parts = [table(("network", *_COLUMNS.values()), cells)]
    if planned:
        pools = geometric_mean(row["ratio"] for row in planned.values())
        seconds = geometric_mean(row["seconds_ratio"] for row in planned.values())
        parts.append(f"geometric means over {len(planned)} networks: pool {pools:.3f}, time {seconds:.3f}")
    tight = [
        (name, *(row["budget"].get(k) for k in _BUDGET_COLUMNS)) for name, row in planned.items() if "budget" in row
    ]
    if tight:
        parts.append(table(("network", *_BUDGET_COLUMNS), [cell for cell in tight if cell[1] is not None]))
    parts += [f"{name}: {row['budget']['error']}" for name, row in planned.items() if "error" in row.get("budget", {})]
    parts += [f"{name}: {row.get('error') or row.get('note')}" for name, row in rows.items() if "ratio" not in row]
    return "\n\n".join(parts)
