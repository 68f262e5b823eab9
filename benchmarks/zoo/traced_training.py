"""Joint graphs of training steps, with forward and backward pass in one, traced by torch on fake tensors.

Ops are torch core ops, views are aliases, and costs are roofline estimates for one accelerator. Parameters and inputs
are outside the arena. The caller chooses whether gradients are in the arena.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.tables import RESULTS
from tvm_memopt.graph import Graph, Op, Tensor, read_graph, write_graph

FLOPS, BYTES = 156e12, 1.555e12  # a second: TF32 and memory of the accelerator whose roofline gives the costs
ALIGNMENT = 64


def training_graph(name: str, gradients_in_arena: bool, again: bool = False) -> Graph:
    """The graph of one of LARGE; traced once and kept as JSON in benchmarks/results, ``again``: traced anew."""
    path = RESULTS / f"traced_{name}.json"
    if again or not path.exists():
        RESULTS.mkdir(exist_ok=True)
        write_graph(_traced(name), path)
    graph = read_graph(path)
    return graph if gradients_in_arena else _given_away(graph)


def _given_away(graph: Graph) -> Graph:
    """The same graph with what it returns in the caller's memory."""
    outside = {graph.root[t] for t in graph.outputs}
    tensors = tuple(
        replace(tensor, arena=False) if graph.root[index] in outside else tensor
        for index, tensor in enumerate(graph.tensors)
    )
    return replace(graph, tensors=tensors)


def _traced(name: str) -> Graph:
    import torch
    from torch._decomp import core_aten_decompositions
    from torch._functorch.compile_utils import fx_graph_cse
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    from benchmarks.zoo.large_models import LARGE, training_step

    with FakeTensorMode():
        model = LARGE[name].build()
        data, labels = LARGE[name].sample()
        names, parameters = zip(*model.named_parameters(), strict=True)
        step = training_step(model, list(names))
        trace = make_fx(step, tracing_mode="fake", decomposition_table=core_aten_decompositions())
        module = trace(list(parameters), data, labels)
    module.graph.eliminate_dead_code()
    graph = fx_graph_cse(module.graph)
    graph.eliminate_dead_code()
    return _Conversion().graph_of(name, torch.fx.GraphModule(module, graph))


class _Conversion:
    """Our tensors and ops while torch's nodes are read."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.ids: dict[Any, list[int | None]] = {}  # per node: its tensors
        self.owner: dict[int, int] = {}  # per storage: the tensor that owns it

    def graph_of(self, name: str, module: Any) -> Graph:
        given = [node for node in module.graph.nodes if node.op == "placeholder"]
        for node in module.graph.nodes:
            if node.op == "placeholder":
                kind = "input" if node in given[-2:] else "weight"  # the data and the labels come last
                self.ids[node] = [self._add(node.name, node.meta["val"], kind)]
            elif node.op == "get_attr":
                self.ids[node] = [self._add(node.name, getattr(module, node.target), "weight")]
            elif node.op == "call_function" and node.target is operator.getitem:
                self.ids[node] = [self.ids[node.args[0]][node.args[1]]]
            elif node.op == "call_function":
                self._call(node)
        (output,) = module.graph.find_nodes(op="output")
        returned = dict.fromkeys(t for node in output.args[0] if (t := self.ids[node][0]) is not None)
        return Graph(name, tuple(self.tensors), tuple(self.ops), tuple(returned), alignment=ALIGNMENT)

    def _call(self, node: Any) -> None:
        read = list(dict.fromkeys(t for before in node.all_input_nodes for t in self.ids[before] if t is not None))
        value = node.meta["val"]
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        made = [
            None if v is None else self._add(f"{node.name}_{k}", v, "activation", read) for k, v in enumerate(values)
        ]
        self.ids[node] = made
        outputs = tuple(t for t in made if t is not None)
        view = all(self.tensors[t].alias_of is not None for t in outputs)
        random = "rand" in str(node.target) or "dropout" in str(node.target)
        cost = 0.0 if view else roofline(node, values)
        self.ops.append(Op(node.name, tuple(read), outputs, cost, recomputable=not random))

    def _add(self, label: str, value: Any, kind: Any, read: Sequence[int] = ()) -> int:
        key, number = value.untyped_storage()._cdata, len(self.tensors)
        owner = self.owner.get(key)
        roots = {self._root(t): t for t in read}
        alias = roots.get(owner) if owner is not None else None
        self.owner.setdefault(key, number)
        nbytes = value.numel() * value.element_size()
        self.tensors.append(Tensor(label, nbytes, kind, kind == "activation", alias))
        return number

    def _root(self, tensor: int) -> int:
        while (parent := self.tensors[tensor].alias_of) is not None:
            tensor = parent
        return tensor


def roofline(node: Any, values: Sequence[Any]) -> float:
    """Seconds: the longer of the arithmetic, where torch counts it, and of moving all operands once."""
    import torch
    from torch.utils.flop_counter import flop_registry

    packet = getattr(node.target, "overloadpacket", None)
    operands = [n.meta["val"] for n in node.all_input_nodes] + list(values)
    moved = sum(v.numel() * v.element_size() for v in operands if isinstance(v, torch.Tensor))
    flops = 0.0
    if packet in flop_registry:
        arguments: tuple[Any, Mapping[str, Any]] = torch.fx.node.map_arg(
            (node.args, node.kwargs), lambda n: n.meta["val"]
        )
        flops = float(flop_registry[packet](*arguments[0], **arguments[1], out_val=node.meta["val"]))
    return max(flops / FLOPS, moved / BYTES)
