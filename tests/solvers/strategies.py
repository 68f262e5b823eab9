"""Random problems for the solvers, and one small graph whose answers are known."""

from __future__ import annotations

from hypothesis import strategies as st

from tvm_memopt.graph import Buffer, Graph, Lifetimes, Op, Tensor, random_graph

SEEDS = st.integers(0, 2**32 - 1)
ALIGNMENTS = st.sampled_from((1, 64))


def graphs(max_ops: int = 8, max_nbytes: int = 200) -> st.SearchStrategy[Graph]:
    return st.builds(
        lambda n, seed, alignment: random_graph(n, seed=seed, alignment=alignment, max_nbytes=max_nbytes),
        st.integers(0, max_ops),
        SEEDS,
        ALIGNMENTS,
    )


@st.composite
def buffer_sets(draw: st.DrawFn, max_buffers: int = 5, steps: int = 5) -> Lifetimes:
    """Buffers with some in-place pairs where one dies in the step that creates another."""
    count = draw(st.integers(0, max_buffers))
    buffers = []
    for index in range(count):
        first = draw(st.integers(0, steps - 1))
        buffers.append(Buffer(index, first, draw(st.integers(first, steps - 1)), draw(st.integers(0, 9))))
    meeting = [
        (a, b) for a in range(count) for b in range(count) if buffers[a].first < buffers[a].last == buffers[b].first
    ]
    pairs = draw(st.lists(st.sampled_from(meeting), unique=True)) if meeting else []
    return Lifetimes(tuple(buffers), tuple(pairs), steps)


def diamond() -> Graph:
    """Two branches that widen 1 byte to 100 and narrow it to 10: one after the other they need 120
    bytes, both at once, as in the given order, 210. The largest working set is 110.
    """
    names = ("x", "wide0", "wide1", "thin0", "thin1", "y")
    sizes = (1, 100, 100, 10, 10, 5)
    return Graph(
        "diamond",
        tuple(Tensor(name, size) for name, size in zip(names, sizes, strict=True)),
        (
            Op("source", (), (0,), 1.0),
            Op("widen0", (0,), (1,), 1.0),
            Op("widen1", (0,), (2,), 1.0),
            Op("narrow0", (1,), (3,), 1.0),
            Op("narrow1", (2,), (4,), 1.0),
            Op("join", (3, 4), (5,), 1.0),
        ),
        (5,),
    )


def chain(length: int, nbytes: int = 64) -> Graph:
    """A chain of ops with tensors of one size: every order is the given one, two tensors live at once."""
    tensors = tuple(Tensor(f"t{i}", nbytes) for i in range(length))
    ops = tuple(Op(f"op{i}", (i - 1,) if i else (), (i,), 1.0) for i in range(length))
    return Graph("chain", tensors, ops, (length - 1,))
