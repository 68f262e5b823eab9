"""A sweep on a Dask cluster: one job a budget, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from tvm_memopt.errors import MemoptError
from tvm_memopt.farm.cluster import cluster, run_jobs
from tvm_memopt.farm.job import Job
from tvm_memopt.graph import Graph, Plan, check, graph_to_json, plan_from_json
from tvm_memopt.solvers.request import Request
from tvm_memopt.solvers.sweep import carried_over


def sweep_on_farm(
    graph: Graph, budgets_nbytes: Sequence[int], request: Request, *, scheduler: str | None = None, workers: int = 2
) -> list[Plan]:
    """A plan for each budget, largest first, as ``solvers.sweep.sweep`` returns them.

    The searches know nothing of each other; the plan of a smaller budget then replaces dearer ones of larger budgets.
    Raises MemoptError if a job failed.
    """
    text = graph_to_json(graph).encode()
    budgets = sorted(set(budgets_nbytes), reverse=True)
    jobs = [Job(str(budget), _arguments(budget, request), {"graph.json": text}) for budget in budgets]
    plans: dict[str, Plan] = {}
    with cluster(scheduler, min(workers, len(jobs))) as client, closing(run_jobs(client, jobs)) as results:
        for result in results:
            if "plan.json" not in result.files:
                raise MemoptError(f"the search for a budget of {result.key} bytes failed: {result.error}")
            plan = plan_from_json(result.files["plan.json"].decode())
            check(graph, plan)
            plans[result.key] = plan
    return carried_over(graph, [plans[str(budget)] for budget in budgets])


def _arguments(budget: int, request: Request) -> tuple[str, ...]:
    return (
        "plan", "graph.json", "-o", "plan.json", "--json", "--budget", str(budget), "--seed", str(request.seed),
        "--time-limit", f"{request.time_limit:g}", "--threads", str(request.threads),
    )  # fmt: skip
