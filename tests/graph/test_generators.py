import statistics
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.layered import PARAMETERS, PUBLISHED, generated, layer_of, published
from tests.graph.strategies import SEEDS
from tvm_memopt.errors import GraphError
from tvm_memopt.graph import Graph, layered_graph, random_graph, read_graph
from tvm_memopt.graph.generators.random_graphs import ALIGNMENTS


def layers_of(graph: Graph) -> list[list[int]]:
    """Op ids by layer, in the generator's own order."""
    layers: dict[int, list[int]] = {}
    for op, depth in enumerate(layer_of(graph)):
        layers.setdefault(depth, []).append(op)
    return [layers[depth] for depth in sorted(layers)]


def adjacent_edges(graph: Graph) -> Counter[int]:
    """Per layer: the edges from it to the next one."""
    depth = layer_of(graph)
    return Counter(
        depth[p] for op, before in enumerate(graph.predecessors) for p in before if depth[op] == depth[p] + 1
    )


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("source", ["published", "generated"])
def test_adjacent_layers_have_the_edge_count_of_the_formula(name: str, source: str) -> None:
    n, width = PARAMETERS[name]
    is_published = source == "published"
    graph = read_graph(PUBLISHED / f"{name}.json") if is_published else layered_graph(n, width=width, seed=5)
    widths = [len(layer) for layer in layers_of(graph)]
    edges = adjacent_edges(graph)
    for depth, (a, b) in enumerate(pairwise(widths)):
        assert edges[depth] == round(0.2 * a * b + 0.8 * max(a, b))


@pytest.mark.parametrize("name", PARAMETERS)
def test_layer_widths_lie_in_the_range_of_the_parameters(name: str) -> None:
    bounds = {"G1": (2, 10), "G2": (4, 23), "G3": (5, 29), "G4": (6, 36)}[name]
    n, width = PARAMETERS[name]
    for seed in range(5):
        widths = [len(layer) for layer in layers_of(layered_graph(n, width=width, seed=seed))]
        assert widths[0] == widths[-1] == 1
        assert bounds[0] <= min(widths[1:-2])
        assert max(widths[1:-1]) <= bounds[1]
        assert sum(widths) == n


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_published_figures_are_ordinary_for_the_generator(name: str) -> None:
    target, sample = published(name), generated(name)
    for figure in ("edges", "layers", "skip_share", "mean_nbytes", "deviation_nbytes", "mean_cost", "layer_order_peak"):
        values = [getattr(s, figure) for s in sample]
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        assert abs(getattr(target, figure) - mean) <= 2.5 * deviation, figure


@pytest.mark.parametrize("name", PARAMETERS)
def test_skips_are_close_to_the_aimed_share(name: str) -> None:
    assert 0.13 <= statistics.fmean(s.skip_share for s in generated(name)) <= 0.14


def test_sizes_follow_the_truncated_mixture() -> None:
    sizes = [t.nbytes for seed in range(20) for t in layered_graph(1000, seed=seed).tensors]
    assert statistics.fmean(sizes) == pytest.approx(1985, abs=45)  # four standard errors of 20 000 draws
    assert statistics.pstdev(sizes) == pytest.approx(1600, abs=50)
    assert min(sizes) == 10
    assert max(sizes) < 11_000
    assert all(size % 10 == 0 for size in sizes)


def test_costs_are_uniform_integers_and_nothing_at_the_ends() -> None:
    costs = [op.cost for seed in range(10) for op in layered_graph(1000, seed=seed).ops[1:-1]]
    assert statistics.fmean(costs) == pytest.approx(500, abs=12)  # four standard errors
    assert min(costs) <= 5
    assert 995 <= max(costs) <= 1000
    assert all(cost == int(cost) for cost in costs)
    graph = layered_graph(50)
    assert graph.ops[0].cost == graph.ops[-1].cost == 0


@given(st.integers(3, 80), SEEDS, st.floats(0.05, 0.95), st.floats(0, 1), st.floats(0, 0.9))
def test_layered_graphs_have_one_source_and_one_target(
    n: int, seed: int, width: float, density: float, skip: float
) -> None:
    graph = layered_graph(n, width=width, density=density, skip=skip, seed=seed)
    assert len(graph.ops) == len(graph.tensors) == n
    assert [op for op, before in enumerate(graph.predecessors) if not before] == [0]
    assert [op for op, after in enumerate(graph.successors) if not after] == [n - 1]
    assert all(len(set(op.inputs)) == len(op.inputs) for op in graph.ops)


@given(st.integers(3, 80), SEEDS)
def test_wide_layers_share_their_edges_evenly_and_in_blocks(n: int, seed: int) -> None:
    graph = layered_graph(n, skip=0, seed=seed)
    layers = layers_of(graph)
    for above, below in pairwise(layers):
        wide, narrow = (below, above) if len(below) >= len(above) else (above, below)
        ends = graph.predecessors if wide is below else graph.successors
        blocks = [[narrow.index(o) for o in ends[node]] for node in wide]
        assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
        assert all(block == list(range(block[0], block[0] + len(block))) for block in blocks)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_smallest_layered_graphs_are_paths_or_diamonds(n: int) -> None:
    for seed in range(10):
        assert len(layered_graph(n, seed=seed).ops) == n


@pytest.mark.parametrize(
    "arguments", [{"n": 0}, {"width": 0.0}, {"width": 1.0}, {"variability": 2.0}, {"density": -0.1}, {"skip": 1.0}]
)
def test_parameters_out_of_range_are_named(arguments: dict[str, float]) -> None:
    (name,) = arguments
    with pytest.raises(GraphError, match=f"layered_graph: {name} is "):
        layered_graph(**{"n": 10, **arguments})  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_graph() -> None:
    assert layered_graph(60, seed=7) == layered_graph(60, seed=7)
    assert layered_graph(60, seed=7) != layered_graph(60, seed=8)
    assert random_graph(30, seed=7) == random_graph(30, seed=7)
    assert random_graph(30, seed=7) != random_graph(30, seed=8)


def test_large_graphs_are_built() -> None:
    assert len(layered_graph(20_000, width=0.5, density=0.02).ops) == 20_000
    assert len(random_graph(20_000, seed=1).ops) == 20_000


@given(st.integers(0, 30), SEEDS)
def test_random_graphs_have_the_asked_number_of_ops(n: int, seed: int) -> None:
    graph = random_graph(n, seed=seed, alignment=32, max_nbytes=50)
    assert len(graph.ops) == n
    assert graph.alignment == 32
    assert all(tensor.nbytes <= 50 for tensor in graph.tensors)
    assert all(op.workspace <= 50 for op in graph.ops)


def test_random_graphs_use_every_feature_of_the_format() -> None:
    found: Counter[str] = Counter()
    for seed in range(200):
        graph = random_graph(12, seed=seed)
        tensors, ops = graph.tensors, graph.ops
        found[f"alignment {graph.alignment}"] += 1
        found.update(f"{t.kind} in the arena" for t in tensors if t.arena and t.kind != "activation")
        found.update(f"{t.kind} outside" for t in tensors if not t.arena)
        for t in tensors:
            if t.alias_of is not None:
                found["view"] += 1
                found["view of a view"] += tensors[t.alias_of].alias_of is not None
                found["view of an input"] += tensors[t.alias_of].kind != "activation"
        found["zero size"] += sum(t.nbytes == 0 for t in tensors)
        found["in-place pair"] += sum(bool(op.inplace) for op in ops)
        found["in-place pair through a view"] += sum(graph.root[s] != s for op in ops for s, _ in op.inplace)
        found["two pairs"] += sum(len(op.inplace) > 1 for op in ops)
        found["workspace"] += sum(op.workspace > 0 for op in ops)
        found["several outputs"] += sum(len(op.outputs) > 1 for op in ops)
        found["not recomputable"] += sum(not op.recomputable for op in ops)
        found["dead output"] += sum(
            graph.planned[t] and not graph.readers[t] and t not in graph.returned for op in ops for t in op.outputs
        )
        found["returned in the arena"] += len(graph.returned)
        found["returned view"] += sum(tensors[t].alias_of is not None for t in graph.outputs)
        found["returned outside the arena"] += sum(not tensors[graph.root[t]].arena for t in graph.outputs)
        found["returned input"] += sum(tensors[t].kind == "input" for t in graph.outputs)
    expected = {
        *(f"alignment {a}" for a in ALIGNMENTS),
        *(f"{kind} in the arena" for kind in ("input", "weight")),
        *(f"{kind} outside" for kind in ("input", "weight", "activation")),
    }
    assert expected <= found.keys()
    assert min(found.values()) > 0, found


def test_a_negative_op_count_is_refused() -> None:
    with pytest.raises(GraphError, match="random_graph: n is -1"):
        random_graph(-1, seed=0)
