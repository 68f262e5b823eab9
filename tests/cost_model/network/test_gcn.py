import numpy as np
import pytest

pytest.importorskip("torch", reason="the network needs torch")
pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

import torch

from tests.cost_model.programs_by_hand import matmul, scheduled_matmul, tiled_pipeline
from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.network import predictor as network_module
from tvm_memopt.cost_model.network.gcn import EDGES, Architecture, GraphNetwork
from tvm_memopt.cost_model.network.losses import ranking_loss, relative_error_loss
from tvm_memopt.cost_model.network.normalization import fit_normalization, prepare
from tvm_memopt.cost_model.network.predictor import Trained


def graphs_of(*mods):
    return compressed(extract(mods))


@pytest.fixture(params=EDGES)
def trained(request):
    torch.manual_seed(0)
    network = GraphNetwork(Architecture(16, 8, 2, request.param))
    for parameter in network.parameters():  # read-outs start at zero, which would hide all differences
        torch.nn.init.normal_(parameter, std=0.3)
    network.shift(-20.0)
    graphs = graphs_of(matmul(), scheduled_matmul(), tiled_pipeline())
    return Trained(network, fit_normalization(graphs), "{}", {})


def test_graphs_of_a_batch_do_not_touch_each_other(trained):
    mods = [matmul(), scheduled_matmul(), tiled_pipeline(), matmul(4, 4, 4)]
    together = trained.predict(graphs_of(*mods))
    for i, mod in enumerate(mods):
        alone = trained.predict(graphs_of(mod))
        assert [float(a[0]) for a in alone] == pytest.approx([float(t[i]) for t in together], rel=1e-4)


def test_batches_in_pieces_give_the_same(trained, monkeypatch):
    graphs = graphs_of(*[matmul(n, 8, 8) for n in (2, 3, 4, 5, 6)])
    whole = trained.predict(graphs)
    monkeypatch.setattr(network_module, "_NODES_AT_ONCE", 12)
    for a, b in zip(whole, trained.predict(graphs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_no_graphs_give_no_predictions(trained):
    assert [len(values) for values in trained.predict(graphs_of())] == [0, 0]


def changed(graphs, what):
    values = {key: rows.copy() for key, rows in graphs.edge_values.items()}
    nodes = {key: rows.copy() for key, rows in graphs.nodes.items()}
    if what == "edge":
        values["buffer", "is_read_by", "statement"] += 1.0
    else:
        nodes["buffer"][:, 1] += 1.0  # a column that nothing but the buffer's own embedding reads
    return type(graphs)(nodes, graphs.node_starts, graphs.edges, values, graphs.edge_starts)


def test_edge_values_count_unless_edges_are_off(trained):
    graphs = graphs_of(tiled_pipeline())
    before, after = trained.predict(graphs)[0], trained.predict(changed(graphs, "edge"))[0]
    assert (abs(before / after - 1)[0] > 1e-6) == (trained.network.shape.edges != "none")


def test_statements_hear_of_their_buffers_only_over_full_edges(trained):
    graphs = graphs_of(tiled_pipeline())

    def statements(of):
        batch = prepare(of, trained.normalization).batch()
        return trained.network.eval().contributions(batch)["statement"].detach().numpy()

    same = np.allclose(statements(graphs), statements(changed(graphs, "buffer")), rtol=1e-6)
    assert same == (trained.network.shape.edges != "full")


def test_time_is_additive_over_nodes(trained):
    batch = prepare(graphs_of(matmul()), trained.normalization).batch()
    trained.network.eval()
    parts = trained.network.contributions(batch)
    total = sum(float(torch.exp(values[:, 0]).sum().detach()) for values in parts.values())
    assert float(torch.exp(trained.network(batch)[0]).detach()) == pytest.approx(total, rel=1e-4)


def test_a_shift_moves_every_prediction(trained):
    graphs = graphs_of(matmul(), tiled_pipeline())
    before = trained.predict(graphs)[0]
    trained.network.shift(1.0)
    np.testing.assert_allclose(trained.predict(graphs)[0] / before, np.e, rtol=1e-4)


def test_embeddings_have_a_row_for_each_graph(trained):
    assert trained.embed(graphs_of(matmul(), tiled_pipeline())).shape == (2, 18)


def test_the_error_loss_is_the_papers_for_one_candidate():
    seconds, fastest = torch.tensor([2.0, 4.0]), torch.tensor([2.0, 2.0])
    predicted = torch.log(torch.tensor([3.0, 2.0]))  # relative errors 0.5 and 0.5, alpha 1 and 0.5
    assert float(relative_error_loss(predicted, seconds, fastest, torch.zeros(2))) == pytest.approx(0.5)
    predicted = torch.log(torch.tensor([2.0, 3.0]))
    found = relative_error_loss(predicted, seconds, fastest, torch.tensor([0.0, 0.1]))  # beta 1 and 0.1
    assert float(found) == pytest.approx(0.25 * 0.5 * 0.1 / (1 + 0.05), rel=1e-4)


def test_gross_overestimates_count_on_a_line():
    found = [
        float(relative_error_loss(torch.tensor([d]), torch.ones(1), torch.ones(1), torch.zeros(1))) for d in (9.0, 10.0)
    ]
    assert found[1] - found[0] == pytest.approx(np.exp(1.5), rel=1e-4)


def test_what_is_far_too_small_is_still_pulled_up():
    predicted = torch.tensor([-8.0], requires_grad=True)
    relative_error_loss(predicted, torch.ones(1), torch.ones(1), torch.zeros(1)).backward()
    assert float(predicted.grad) == pytest.approx(-np.exp(-0.7), rel=1e-4)


def test_the_ranking_loss_asks_only_within_a_program():
    seconds, program = torch.tensor([1.0, 2.0, 1.0, 2.0]), torch.tensor([0, 0, 1, 1])
    right = ranking_loss(torch.tensor([9.0, 0.0, 0.0, -9.0]), seconds, program)
    wrong = ranking_loss(torch.tensor([0.0, 9.0, -9.0, 0.0]), seconds, program)
    assert float(right) < 0.001
    assert float(wrong) > 8
    assert float(ranking_loss(torch.zeros(1), torch.ones(1), torch.zeros(1))) == 0
