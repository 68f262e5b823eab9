"""The graph-convolution performance model: typed message passing over statements, loops and buffers.

With h⁰ the embedding of a node's features, for l = 1 … L and every node n of type t:

    e_r  = MLP_r(v)                                        values v of an edge of relation r: gate and shift
    m_r  = mean and sum over r-edges (s → n) of  σ(gate) ⊙ W_r^l h_s^{l-1} + shift
    h_n^l = h_n^{l-1} + MLP_t^l(LayerNorm(h_n^{l-1}) ‖ m_1 ‖ … ‖ m_R)

Each of the five edge types gives one relation forwards and another backwards. The read-out sums over layers inside
the exponential and over nodes outside it, since time is additive over the parts of a program:

    c_nk = ln(count k of n) + skip_tk(h_n⁰) + Σ_l w_tk^l · h_n^l
    c_ek = ln(count k of e) + MLP_rk(v ‖ h_statement^L)     for each edge e that moves data: reads, writes, feeds
    seconds = Σ_n Σ_k exp(c_nk) + Σ_e Σ_k exp(c_ek)

The counts are those of normalization.TERMS, such as points, vectors and cache lines; the exponential of the other
terms is the price of one count. ``skip`` depends only on a node's own features. The rank score is minus the logarithm
of such a sum with prices corrected by a second set of weights, initialised to zero.

Stages as nodes, convolutions along data flow, sums over all layers and the loss are from Singh, Hegarty, Leather and
Steiner, "A Graph Neural Network-Based Performance Model for Deep Learning Applications", MAPS 2022. Priced counts are
from Adams et al., "Learning to Optimize Halide with Tree Search and Random Programs", SIGGRAPH 2019. Loops and buffers
as nodes, and edge values, are specific to this package.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, NODE_COLUMNS, STATEMENT_INVARIANT
from tvm_memopt.cost_model.network.normalization import EDGE_TERMS, Batch

EDGES = ("full", "values", "none")
"""Edge variants: as above; without the term W h of the neighbour; no edges. The last two are for ablation."""

# Initial ln seconds of one unit of each of TERMS: roughly those of a 3 GHz core
_START = {
    "statement": (-22.0, -22.0, -21.0, -22.0, -22.0, -22.0, -21.0, -20.0, -19.5, -19.0, -16.0),
    "loop": (-22.0, -20.0),
    "buffer": (-26.0, -18.0),
}
_EDGE_START = -24.0


@dataclass(frozen=True)
class Architecture:
    """``width``: of statement embeddings. ``side_width``: of loop and buffer embeddings and messages. ``rounds``: L.
    ``edges``: one of EDGES."""

    width: int = 64
    side_width: int = 32
    rounds: int = 3
    edges: str = "full"
    dropout: float = 0.1

    def width_of(self, node_type: str) -> int:
        """Embedding width of a node type."""
        return self.width if node_type == "statement" else self.side_width


class Relation(nn.Module):  # type: ignore[misc]
    """One edge type in one direction. Maps edge values to a gate and a shift, shared by all rounds."""

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, 2 * width))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(gate, shift), each [edges, width], from values [edges, columns]."""
        gate, shift = self.encode(values).chunk(2, dim=1)
        return torch.sigmoid(gate), shift


class Round(nn.Module):  # type: ignore[misc]
    """One graph convolution over all relations."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.relations = _relations() if shape.edges != "none" else []
        self.shape = shape
        if shape.edges == "full":
            self.project = nn.ModuleDict({
                _name(key): nn.Linear(shape.width_of(key[0]), shape.side_width, bias=False) for key in self.relations
            })  # fmt: skip
        self.norms = nn.ModuleDict({name: nn.LayerNorm(shape.width_of(name)) for name in NODE_COLUMNS})
        self.updates = nn.ModuleDict()
        for name in NODE_COLUMNS:
            width, incoming = shape.width_of(name), sum(key[2] == name for key in self.relations)
            self.updates[name] = nn.Sequential(
                nn.Linear(width + 2 * incoming * shape.side_width, width), nn.ReLU(), nn.Dropout(shape.dropout),
                nn.Linear(width, width),
            )  # fmt: skip

    def forward(
        self, hidden: dict[str, Tensor], ends: dict[str, Tensor], edges: dict[str, tuple[Tensor, Tensor, Tensor]]
    ) -> dict[str, Tensor]:
        """New embeddings of all nodes. ``edges``: gate, shift and 1 / (edges into each target) by relation."""
        normed = {name: self.norms[name](h) for name, h in hidden.items()}
        incoming = {name: [h] for name, h in normed.items()}
        for key in self.relations:
            gate, shift, share = edges[_name(key)]
            message = shift
            if self.shape.edges == "full":
                sources = self.project[_name(key)](normed[key[0]])
                message = torch.addcmul(shift, gate, sources.index_select(0, ends[_name(key)][0]))
            total = message.new_zeros(len(normed[key[2]]), message.shape[1])
            total.index_add_(0, ends[_name(key)][1], message)
            incoming[key[2]] += [total * share, total * 0.25]
        return {name: h + self.updates[name](torch.cat(incoming[name], dim=1)) for name, h in hidden.items()}


class EdgePrices(nn.Module):  # type: ignore[misc]
    """Cost of the data moved along an edge: ln prices of its counts for both heads, [edges, 2 · terms]."""

    def __init__(self, columns: int, shape: Architecture, terms: int) -> None:
        super().__init__()
        self.values = nn.Linear(columns, shape.side_width)
        self.statement = nn.Linear(shape.width, shape.side_width, bias=False)
        self.read_out = nn.Linear(shape.side_width, 2 * terms)
        nn.init.zeros_(self.read_out.weight)
        self.read_out.bias.data = torch.cat([torch.full((terms,), _EDGE_START), torch.zeros(terms)])

    def forward(self, values: Tensor, statements: Tensor, ends: Tensor) -> Tensor:
        """``values``: [edges, columns]; ``statements``: embeddings; ``ends``: the statement of each edge."""
        told = self.statement(statements).index_select(0, ends)
        prices: Tensor = self.read_out(torch.relu(self.values(values) + told))
        return prices


class GraphNetwork(nn.Module):  # type: ignore[misc]
    """The whole network. Input: a Batch. Output: (ln seconds, rank score), each float32 [graphs].

    Higher rank scores are better. They are comparable only within one program.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        half = shape.width // 2
        self.invariant = nn.Linear(len(STATEMENT_INVARIANT), half)
        self.scheduled = nn.Linear(len(NODE_COLUMNS["statement"]) - len(STATEMENT_INVARIANT), shape.width - half)
        self.embed = nn.ModuleDict({
            "loop": nn.Linear(len(NODE_COLUMNS["loop"]), shape.side_width),
            "buffer": nn.Linear(len(NODE_COLUMNS["buffer"]), shape.side_width),
        })  # fmt: skip
        columns = EDGE_COLUMNS if shape.edges != "none" else {}
        self.edge_values = nn.ModuleDict({
            _name(key): Relation(max(len(columns[_base(key)]), 1), shape.side_width)
            for key in (_relations() if columns else [])
        })  # fmt: skip
        self.edge_prices = nn.ModuleDict({
            _name(key): EdgePrices(len(EDGE_COLUMNS[key]), shape, len(names))
            for key, names in (EDGE_TERMS.items() if columns else ())
        })  # fmt: skip
        self.rounds = nn.ModuleList(Round(shape) for _ in range(shape.rounds))
        self.skip = nn.ModuleDict()
        self.read_out = nn.ModuleDict()
        for name in NODE_COLUMNS:
            width, prices = shape.width_of(name), torch.tensor(_START[name])
            last = nn.Linear(width, 2 * len(prices))
            nn.init.zeros_(last.weight)
            self.skip[name] = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(shape.dropout), last)
            nn.init.zeros_(last.bias)
            self.read_out[name] = nn.Linear((shape.rounds + 1) * width, 2 * len(prices))
            nn.init.zeros_(self.read_out[name].weight)
            self.read_out[name].bias.data = torch.cat([prices, torch.zeros_like(prices)])

    def shift(self, by: float) -> None:
        """Add ``by`` to all predictions of ln seconds, and to the sum behind the rank score."""
        with torch.no_grad():
            for layer in [*self.read_out.values(), *(prices.read_out for prices in self.edge_prices.values())]:
                layer.bias[: len(layer.bias) // 2] += by

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Apply the network; the class describes input and output."""
        parts = self.contributions(batch)
        graph = {name: batch.graph_of[name] for name in NODE_COLUMNS}
        for key in EDGE_TERMS if self.edge_prices else ():
            graph[_name(key)] = batch.graph_of["statement"].index_select(0, _statement_end(batch, key))
        logarithms = _sum_of_exponentials([(parts[name], graph[name]) for name in graph], batch.count)
        return logarithms[:, 0], -logarithms[:, 1]

    def contributions(self, batch: Batch) -> dict[str, Tensor]:
        """ln Σ_k exp(c_k) of both heads, [count, 2], by node type and by name of edge type."""
        layers = self._layers(batch)
        found = {}
        for key in EDGE_TERMS if self.edge_prices else ():
            ends = _statement_end(batch, key)
            prices = self.edge_prices[_name(key)](batch.edge_values[key], layers[-1]["statement"], ends)
            found[_name(key)] = _both_heads(batch.edge_terms[key], prices)
        for name, terms in batch.terms.items():
            every = torch.cat([layer[name] for layer in layers], dim=1)
            found[name] = _both_heads(terms, self.skip[name](layers[0][name]) + self.read_out[name](every))
        return found

    def embeddings(self, batch: Batch) -> Tensor:
        """Graph embeddings [graphs, width + 2]: mean final statement embedding, ln seconds and rank score."""
        layers, graph = self._layers(batch), batch.graph_of["statement"]
        last = layers[-1]["statement"]
        total = last.new_zeros(batch.count, last.shape[1]).index_add_(0, graph, last)
        counts = torch.bincount(graph, minlength=batch.count).clamp(min=1)[:, None]
        seconds, score = self(batch)
        return torch.cat([total / counts, seconds[:, None], score[:, None]], dim=1)

    def _layers(self, batch: Batch) -> list[dict[str, Tensor]]:
        ends, edges = self._edges(batch)
        layers = [self._embedded(batch)]
        for convolution in self.rounds:
            layers.append(convolution(layers[-1], ends, edges))
        return layers

    def _embedded(self, batch: Batch) -> dict[str, Tensor]:
        statements = batch.nodes["statement"]
        split = len(STATEMENT_INVARIANT)
        both = [self.invariant(statements[:, :split]), self.scheduled(statements[:, split:])]
        hidden = {"statement": torch.relu(torch.cat(both, dim=1))}
        return hidden | {name: torch.relu(layer(batch.nodes[name])) for name, layer in self.embed.items()}

    def _edges(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor, Tensor]]]:
        """Edge ends of each relation, and its gate, shift and 1 / (edges into each target)."""
        ends, edges = {}, {}
        for key in _relations() if self.shape.edges != "none" else []:
            name, base = _name(key), _base(key)
            pair, values = batch.edges[base], batch.edge_values[base]
            if values.shape[1] == 0:
                values = values.new_ones(len(values), 1)
            ends[name] = pair.flip(0) if key != base else pair
            counts = torch.bincount(ends[name][1], minlength=len(batch.nodes[key[2]])).clamp(min=1)
            gate, shift = self.edge_values[name](values)
            edges[name] = (gate, shift, (1.0 / counts.to(values.dtype))[:, None])
        return ends, edges


def _both_heads(terms: Tensor, prices: Tensor) -> Tensor:
    """ln Σ_k exp(term + price), and the same with prices corrected for the rank score: [count, 2]."""
    price, correction = prices.chunk(2, dim=1)
    seconds = terms + price
    return torch.stack([seconds.logsumexp(dim=1), (seconds + correction).logsumexp(dim=1)], dim=1)


def _statement_end(batch: Batch, key: tuple[str, str, str]) -> Tensor:
    """The statement that bears the cost of each edge: the one that stores or loads."""
    return batch.edges[key][0 if key[1] == "writes" else 1]


def _sum_of_exponentials(parts: list[tuple[Tensor, Tensor]], count: int) -> Tensor:
    """ln Σ exp over the rows of each graph, [graphs, 2]. Each part: values [rows, 2] and the graph of each row."""
    values = torch.cat([part[0] for part in parts])
    graph = torch.cat([part[1] for part in parts])
    with torch.no_grad():
        index = graph[:, None].expand_as(values)
        most = values.new_full((count, values.shape[1]), -torch.inf).scatter_reduce(0, index, values, "amax")
    scaled = torch.exp(values - most[graph])
    total = values.new_zeros(count, values.shape[1]).index_add_(0, graph, scaled)
    return most + torch.log(total)


def _relations() -> list[tuple[str, str, str]]:
    forwards = list(EDGE_COLUMNS)
    return forwards + [(target, f"rev_{relation}", source) for source, relation, target in forwards]


def _base(key: tuple[str, str, str]) -> tuple[str, str, str]:
    """The edge type of a relation."""
    source, relation, target = key
    return (target, relation.removeprefix("rev_"), source) if relation.startswith("rev_") else key


def _name(key: tuple[str, str, str]) -> str:
    return "__".join(key)
