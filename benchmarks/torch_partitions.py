"""torch's min-cut partitioner with its activation memory budget, on a graph that tvm-memopt can also plan.

``python -m benchmarks.torch_partitions NAME --out FILE``: NAME is a published graph of a training step, or one of the
models below, traced by torch. A published graph is passed to the partitioner as a joint graph without kernels; its
forward and backward ops are distinguished by name. The output has the graph and, for each value of the budget, the
schedule (forward, then backward in torch's order), the bytes saved between the passes, and the seconds. Both tools use
the same op costs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Op, Tensor, graph_to_json, read_graph

PUBLISHED = Path(__file__).parents[1] / "tests" / "data" / "remat"
KNOBS = tuple(k / 20 for k in range(21))
_COMPUTE = ("conv", "fc", "dense", "predictions", "probs")  # torch holds back from running these again


@dataclass(frozen=True)
class Joint:
    """A forward and backward graph in torch's form and in ours; ``op_of`` maps names of torch's nodes to our ops."""

    module: Any
    forward_outputs: int
    graph: Graph
    op_of: Mapping[str, int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Partition one graph at every value of the budget and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"a published graph, or one of {', '.join(MODELS)}")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args(arguments)
    joint = traced(options.name) if options.name in MODELS else abstract(options.name)
    plans = [partition(joint, knob) for knob in KNOBS]
    options.out.write_text(json.dumps({"graph": graph_to_json(joint.graph), "plans": plans}))
    return 0


def partition(joint: Joint, knob: float) -> dict[str, Any]:
    """The plan of the partitioner for that activation memory budget, 0 to 1."""
    import torch
    from torch._functorch import config, partitioners

    module = torch.fx.GraphModule(joint.module, _copy(joint.module.graph))
    settings = {
        "activation_memory_budget": knob,
        "activation_memory_budget_runtime_estimator": _estimator(joint),
        "cse": False,  # ops without kernels look alike; what torch traced has been through it already
    }
    started = time.perf_counter()
    with config.patch(**settings):
        forward, backward = partitioners.min_cut_rematerialization_partition(
            module, None, num_fwd_outputs=joint.forward_outputs
        )
    seconds = time.perf_counter() - started
    calls = [node for part in (forward, backward) for node in part.graph.nodes if node.op == "call_function"]
    schedule = [joint.op_of[node.name] for node in calls if node.name in joint.op_of]
    return {"knob": knob, "schedule": schedule, "saved_nbytes": _saved(joint, forward), "seconds": seconds}


def _copy(graph: Any) -> Any:
    """A copy that keeps the names of the nodes."""
    import torch

    copied = torch.fx.Graph()
    values: dict[Any, Any] = {}
    for node in graph.nodes:
        values[node] = copied.node_copy(node, values.__getitem__)
    return copied


def _estimator(joint: Joint) -> Any:
    from torch._inductor.custom_graph_pass import CustomRuntimeEstimator

    class Costs(CustomRuntimeEstimator):  # type: ignore[misc]
        def __call__(self, node: Any) -> float:
            return joint.graph.ops[joint.op_of[node.name]].cost if node.name in joint.op_of else 0.0

        def uuid(self) -> str:
            return joint.graph.name

    return Costs()


def _saved(joint: Joint, forward: Any) -> int:
    """Bytes of activations that the forward pass hands to the backward pass; views of one storage count once."""
    graph = joint.graph
    (output,) = forward.graph.find_nodes(op="output")
    saved = [node.name for node in output.args[0][joint.forward_outputs :]]
    tensor_of = {name: graph.ops[op].outputs[0] for name, op in joint.op_of.items() if graph.ops[op].outputs}
    roots = {graph.root[tensor_of[name]] for name in saved if name in tensor_of}
    return sum(graph.tensors[root].nbytes for root in roots if graph.planned[root])


def abstract(name: str) -> Joint:
    """A published graph as a joint graph: sizes and costs as they are, the kind of op guessed from its name.

    Raises MemoptError for a graph without a backward pass.
    """
    import torch

    graph = read_graph(PUBLISHED / f"{name}.json")
    first = next((i for i, op in enumerate(graph.ops) if op.name.endswith("_backward")), None)
    if first is None:
        raise MemoptError(f"{name}: has no backward pass, so there is nothing to partition")
    aten, fx = torch.ops.aten, torch.fx.Graph()
    primal, tangent = (_placeholder(fx, text) for text in ("primals_1", "tangents_1"))
    nodes: list[Any] = []
    for index, op in enumerate(graph.ops):
        before = [nodes[p] for p in graph.predecessors[index]]
        if index < first:
            before = before or [primal]
        elif all(p < first for p in graph.predecessors[index]):
            before.append(tangent)
        target = aten.convolution.default if _computes(op.name) else aten.relu.default
        node = fx.create_node("call_function", target, tuple(before), name=f"op_{index}")
        node.meta["val"] = torch.empty(_held(graph, index), dtype=torch.uint8, device="meta")
        nodes.append(node)
    forward = [i for i in range(first) if all(reader >= first for reader in graph.successors[i])]
    backward = [i for i in range(first, len(graph.ops)) if not graph.successors[i]]
    fx.output([nodes[i] for i in (*forward, *backward)])
    module = torch.fx.GraphModule({}, fx)
    return Joint(module, len(forward), graph, {node.name: index for index, node in enumerate(nodes)})


def _computes(name: str) -> bool:
    tail = name.rsplit("_", 1)[-1]
    return any(word in name for word in _COMPUTE) and tail not in ("relu", "bn", "pad")


def _held(graph: Graph, op: int) -> int:
    return sum(graph.tensors[t].nbytes for t in graph.ops[op].outputs)


def _placeholder(fx: Any, name: str) -> Any:
    import torch

    node = fx.placeholder(name)
    node.meta["val"] = torch.empty(0, dtype=torch.uint8, device="meta")
    return node


def traced(name: str) -> Joint:
    """The joint graph of one of MODELS, as torch traces it on the CPU."""
    import torch
    from torch._functorch.aot_autograd import aot_module
    from torch._functorch.compile_utils import fx_graph_cse
    from torch._functorch.partitioners import default_partition

    torch.manual_seed(0)
    model, sample = MODELS[name]()
    caught: list[tuple[Any, int]] = []

    def catch(joint: Any, inputs: Any, **options: Any) -> Any:
        joint.graph.eliminate_dead_code()
        caught.append((torch.fx.GraphModule(joint, fx_graph_cse(joint.graph)), options["num_fwd_outputs"]))
        return default_partition(joint, inputs, **options)

    aot_module(model, fw_compiler=lambda fx, _: fx, partition_fn=catch)(sample)
    module, outputs = caught[0]
    return _converted(name, module, outputs)


def _converted(name: str, module: Any, forward_outputs: int) -> Joint:
    """Our Graph of a joint graph: one op a call, views as aliases, parameters and inputs outside the arena."""
    import operator

    tensors: list[Tensor] = []
    ops: list[Op] = []
    ids: dict[Any, list[int | None]] = {}  # per node: its tensors
    op_of: dict[str, int] = {}
    storages: dict[int, int] = {}  # of a storage: the tensor that owns it

    def add(label: str, value: Any, kind: Any, inputs: Sequence[int]) -> int:
        key = value.untyped_storage()._cdata
        owner = storages.get(key)
        alias = owner if owner is not None and kind == "activation" and owner in inputs else None
        storages.setdefault(key, len(tensors))
        tensors.append(Tensor(label, value.numel() * value.element_size(), kind, kind == "activation", alias))
        return len(tensors) - 1

    for node in module.graph.nodes:
        if node.op == "placeholder":
            ids[node] = [add(node.name, node.meta["val"], "weight" if "primals" in node.name else "input", ())]
        elif node.op == "call_function" and node.target is operator.getitem:
            ids[node] = [ids[node.args[0]][node.args[1]]]
        elif node.op == "call_function":
            read = _read(node, ids)
            roots = [*read, *(r for t in read if (r := _root(tensors, t)) != t)]
            value = node.meta["val"]
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            ids[node] = [None if v is None else add(node.name, v, "activation", roots) for v in values]
            made = tuple(t for t in ids[node] if t is not None)
            view = all(tensors[t].alias_of is not None for t in made)
            op_of[node.name] = len(ops)
            ops.append(Op(node.name, tuple(read), made, 0.0 if view else _operations(node, values)))
    (output,) = module.graph.find_nodes(op="output")
    returned = dict.fromkeys(ids[node][0] for node in output.args[0] if node is not None)
    graph = Graph(name, tuple(tensors), tuple(ops), tuple(t for t in returned if t is not None))
    return Joint(module, forward_outputs, graph, op_of)


def _read(node: Any, ids: Mapping[Any, Sequence[int | None]]) -> list[int]:
    return list(dict.fromkeys(t for before in node.all_input_nodes for t in ids[before] if t is not None))


def _root(tensors: Sequence[Tensor], tensor: int) -> int:
    while (parent := tensors[tensor].alias_of) is not None:
        tensor = parent
    return tensor


def _operations(node: Any, values: Sequence[Any]) -> float:
    """FLOPs where torch's counter knows the op, else the elements of its largest operand."""
    import torch
    from torch.utils.flop_counter import flop_registry

    packet = getattr(node.target, "overloadpacket", None)
    arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
    if packet in flop_registry:
        return float(flop_registry[packet](*arguments[0], **arguments[1], out_val=node.meta["val"]))
    operands = [n.meta["val"] for n in node.all_input_nodes] + list(values)
    return float(max((v.numel() for v in operands if isinstance(v, torch.Tensor)), default=0))


def _residual_mlp() -> tuple[Any, Any]:
    """Eight residual blocks 64, 256, 64 at batch 512."""
    import torch
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(64), nn.Linear(64, 256), nn.Linear(256, 64)

        def forward(self, x: Any) -> Any:
            return x + self.down(nn.functional.gelu(self.up(self.norm(x))))

    return _with_loss(nn.Sequential(*(Block() for _ in range(8)))), torch.randn(512, 64)


def _conv_net() -> tuple[Any, Any]:
    """A plain convolutional net of three stages with pooling, 64 x 64 pixels at batch 4."""
    import torch
    from torch import nn

    layers: list[Any] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()]
        layers.append(nn.AvgPool2d(2))
    return _with_loss(nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 8 * 8, 10))), torch.randn(4, 3, 64, 64)


def _with_loss(body: Any) -> Any:
    from torch import nn

    class Trained(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Any) -> Any:
            return self.body(x).square().mean()

    return Trained()


MODELS: Mapping[str, Callable[[], tuple[Any, Any]]] = {"torch-mlp": _residual_mlp, "torch-conv": _conv_net}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MemoptError, ImportError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
