"""Random DAGs that use every feature of ``memopt-graph/1``, for property-based tests."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from tvm_memopt.errors import GraphError
from tvm_memopt.graph.model import Graph, Inplace, Op, Tensor

ALIGNMENTS = (1, 2, 4, 16, 64)


def random_graph(
    n: int,
    *,
    seed: int,
    alignment: int | None = None,
    max_nbytes: int = 1000,
    views: float = 0.2,
    inplace: float = 0.4,
    distances: float = 0.0,
    workspaces: float = 0.25,
    fixed: float = 0.1,
    reach: int = 8,
) -> Graph:
    """Generate a valid random graph of ``n`` ops.

    The graph can contain views (of views and of inputs), in-place pairs, workspaces, ops with several outputs, dead
    and zero-size outputs, returned tensors inside and outside the arena, arena inputs, and weights.

    ``views``, ``inplace``, ``workspaces``: share of the ops that have them.
    ``distances``: share of the in-place pairs that overlap at a distance, positive or negative, not at one address.
    ``fixed``: share of the ops that must not be recomputed.
    ``reach``: number of the newest tensors from which most inputs are drawn.
    ``max_nbytes``: the largest tensor size in bytes.
    ``alignment``: drawn from ALIGNMENTS if None.
    ``seed``: seeds the one ``random.Random`` that draws everything; the same arguments give the same graph.

    Raises GraphError if ``n`` is negative.
    """
    if n < 0:
        raise GraphError(f"random_graph: n is {n}, expected at least 0")
    rng = random.Random(seed)
    draft = _Draft(rng, max_nbytes, reach, distances)
    draft.add_sources()
    for _ in range(n):
        if draft.tensors and rng.random() < views:
            draft.add_view(fixed)
        else:
            draft.add_kernel(inplace, workspaces, fixed)
    outputs = draft.choose_outputs()
    alignment = rng.choice(ALIGNMENTS) if alignment is None else alignment
    return Graph(f"random-n{n}-seed{seed}", tuple(draft.tensors), tuple(draft.ops), outputs, alignment)


@dataclass
class _Draft:
    """The graph so far. Ops only read tensors that come before them."""

    rng: random.Random
    max_nbytes: int
    reach: int
    distances: float = 0.0
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    unread: dict[int, None] = field(default_factory=dict)  # an ordered set

    def add_sources(self) -> None:
        for kind, most, arena_share in (("input", 3, 0.5), ("weight", 2, 0.1)):
            for index in range(self.rng.randint(0, most)):
                arena = self.rng.random() < arena_share
                self.tensors.append(Tensor(f"{kind}{index}", self._size(), kind, arena))  # type: ignore[arg-type]

    def add_view(self, fixed: float) -> None:
        """Add a reshape, which outputs a view of its input. Some reshapes also write a tensor of their own."""
        source = self._draw_input()
        view = self._add_tensor(self.tensors[source].nbytes, alias_of=source)
        outputs = [view]
        if self.rng.random() < 0.15:
            outputs.append(self._add_tensor(self._size()))
        cost = self._cost() if len(outputs) > 1 else 0.0
        self._add_op("view", (source,), tuple(outputs), cost=cost, fixed=fixed)

    def add_kernel(self, inplace: float, workspaces: float, fixed: float) -> None:
        wanted = self.rng.choice((0, 1, 1, 2, 2, 3, 4)) if self.tensors else 0
        inputs = tuple(dict.fromkeys(self._draw_input() for _ in range(wanted)))
        pairs: list[tuple[int, int]] = []
        outputs: list[int] = []
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            shares = [i for i in inputs if self.rng.random() < inplace]
            nbytes = self.tensors[shares[0]].nbytes if shares and self.rng.random() < 0.8 else self._size()
            output = self._add_tensor(nbytes, arena=self.rng.random() < 0.95)
            outputs.append(output)
            pairs += [(source, output) for source in shares]
        workspace = self.rng.randint(1, self.max_nbytes) if self.rng.random() < workspaces else 0
        if self.rng.random() < 0.05:  # a kernel that also returns a view of its own result
            outputs.append(self._add_tensor(self.tensors[outputs[0]].nbytes, alias_of=outputs[0]))
        self._add_op(
            "kernel",
            inputs,
            tuple(outputs),
            cost=self._cost(),
            fixed=fixed,
            workspace=workspace,
            inplace=tuple(self._pair(*pair) for pair in pairs),
        )

    def _pair(self, source: int, target: int) -> Inplace:
        if not self.distances or self.rng.random() >= self.distances:
            return source, target
        return source, target, self.rng.randint(-self.tensors[source].nbytes, self.tensors[target].nbytes)

    def choose_outputs(self) -> tuple[int, ...]:
        """Choose up to three returned tensors, mostly late ones and sometimes views or inputs. Some of them are
        allocated by the caller, outside the arena."""
        if not self.tensors:
            return ()
        chosen = [self._recent() for _ in range(self.rng.randint(0, 3))]
        if self.rng.random() < 0.1:
            chosen.append(self.rng.randrange(min(3, len(self.tensors))))
        for tensor_id in chosen:
            tensor = self.tensors[tensor_id]
            if tensor.kind == "activation" and tensor.alias_of is None and self.rng.random() < 0.3:
                self.tensors[tensor_id] = replace(tensor, arena=False)
        return tuple(dict.fromkeys(chosen))

    def _add_tensor(self, nbytes: int, *, arena: bool = True, alias_of: int | None = None) -> int:
        self.tensors.append(Tensor(f"t{len(self.tensors)}", nbytes, "activation", arena, alias_of))
        self.unread[len(self.tensors) - 1] = None
        return len(self.tensors) - 1

    def _add_op(
        self,
        name: str,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        *,
        cost: float,
        fixed: float,
        workspace: int = 0,
        inplace: tuple[Inplace, ...] = (),
    ) -> None:
        recomputable = self.rng.random() >= fixed
        self.ops.append(Op(f"{name}{len(self.ops)}", inputs, outputs, cost, workspace, recomputable, inplace))

    def _draw_input(self) -> int:
        """Draw an input. Half the draws take the tensor that has been unread longest, so that few tensors stay dead."""
        drawn = next(iter(self.unread)) if self.unread and self.rng.random() < 0.5 else self._recent()
        self.unread.pop(drawn, None)
        return drawn

    def _recent(self) -> int:
        """A tensor id: with probability 0.8 one of the newest ``reach``, otherwise any."""
        count = len(self.tensors)
        return self.rng.randrange(max(0, count - self.reach) if self.rng.random() < 0.8 else 0, count)

    def _size(self) -> int:
        return 0 if self.rng.random() < 0.08 else self.rng.randint(1, self.max_nbytes)

    def _cost(self) -> float:
        return float(self.rng.randint(0, 100))
