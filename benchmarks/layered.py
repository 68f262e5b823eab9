"""Compare generated layered graphs with the published ones: ``python -m benchmarks.layered [--json]``

For the parameters of each of the four graphs published with MOCCASIN, it reports the mean and standard deviation over
20 seeds next to the published graph's figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tvm_memopt.graph import Graph, given_order, layered_graph, peak_live, read_graph

PUBLISHED = Path(__file__).parents[1] / "tests" / "data" / "remat"
PARAMETERS = {"G1": (100, 0.27), "G2": (250, 0.43), "G3": (500, 0.36), "G4": (1000, 0.31)}
SEEDS = range(20)


@dataclass(frozen=True, slots=True)
class LayeredStatistics:
    """Figures of one graph. ``skip_share``: edges over at least one layer; ``layers``: ops on the longest
    path; ``layer_order_peak``: peak live bytes when the layers run one after the other."""

    edges: float
    layers: float
    skip_share: float
    mean_nbytes: float
    deviation_nbytes: float
    mean_cost: float
    given_order_peak: float
    layer_order_peak: float


def layer_of(graph: Graph) -> list[int]:
    """Per op: the length of the longest path to it."""
    layers = [0] * len(graph.ops)
    for op, before in enumerate(graph.predecessors):
        layers[op] = max((layers[p] + 1 for p in before), default=0)
    return layers


def statistics_of(graph: Graph) -> LayeredStatistics:
    layers = layer_of(graph)
    spans = [layers[op] - layers[p] for op, before in enumerate(graph.predecessors) for p in before]
    sizes = [tensor.nbytes for tensor in graph.tensors]
    by_layer = sorted(given_order(graph), key=lambda op: (layers[op], _number(graph, op)))
    return LayeredStatistics(
        edges=len(spans),
        layers=max(layers) + 1,
        skip_share=sum(span > 1 for span in spans) / len(spans),
        mean_nbytes=statistics.fmean(sizes),
        deviation_nbytes=statistics.pstdev(sizes),
        mean_cost=statistics.fmean(op.cost for op in graph.ops),
        given_order_peak=peak_live(graph, given_order(graph)),
        layer_order_peak=peak_live(graph, by_layer),
    )


def _number(graph: Graph, op: int) -> int:
    """A published op is named by its number in the generator, a generated one is in that order already."""
    name = graph.ops[op].name
    return int(name) if name.isdigit() else op


def generated(name: str, seeds: Sequence[int] = SEEDS) -> list[LayeredStatistics]:
    n, width = PARAMETERS[name]
    return [statistics_of(layered_graph(n, width=width, seed=seed)) for seed in seeds]


def published(name: str) -> LayeredStatistics:
    return statistics_of(read_graph(PUBLISHED / f"{name}.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the raw figures as JSON")
    as_json = parser.parse_args().json
    results = {name: (published(name), generated(name)) for name in PARAMETERS}
    if as_json:
        rows = {n: {"published": asdict(p), "generated": [*map(asdict, g)]} for n, (p, g) in results.items()}
        print(json.dumps(rows, indent=1))
        return
    print(f"{'graph':<6}{'figure':<20}{'published':>12}{'generated mean':>16}{'± sd':>12}{'z':>7}")
    for name, (target, sample) in results.items():
        for field in fields(LayeredStatistics):
            values = [getattr(s, field.name) for s in sample]
            mean, deviation = statistics.fmean(values), statistics.stdev(values)
            found = getattr(target, field.name)
            digits = 4 if field.name == "skip_share" else 0
            z = (found - mean) / deviation if deviation else 0.0
            row = (
                f"{name:<6}{field.name:<20}{found:>12.{digits}f}{mean:>16.{digits}f}{deviation:>12.{digits}f}{z:>7.1f}"
            )
            print(row)


if __name__ == "__main__":
    main()
