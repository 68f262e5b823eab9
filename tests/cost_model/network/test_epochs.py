import pytest

pytest.importorskip("torch", reason="networks are torch's")

import torch
from torch import nn

from tvm_memopt.cost_model.network.epochs import descend, train_keeping_best


def counted(judged, untouched=False):
    """The weight that is left of a network whose weight is the number of the epoch."""
    network, seen = nn.Linear(1, 1, bias=False), []
    nn.init.zeros_(network.weight)

    def train():
        assert network.training
        network.weight.data += 1.0

    def judge():
        assert not network.training
        seen.append(judged[len(seen)])
        return seen[-1]

    train_keeping_best(network, 3, train, judge if judged else None, untouched)
    assert not network.training
    return network.weight.item()


def test_the_weights_of_the_best_epoch_are_left():
    assert counted([3.0, 1.0, 2.0]) == 2.0


def test_without_a_judge_the_last_are():
    assert counted([]) == 3.0


@pytest.mark.parametrize(("untouched", "expected"), [(True, 0.0), (False, 1.0)])
def test_the_weights_at_the_start_may_win(untouched, expected):
    assert counted([0.5, 1.0, 2.0, 3.0][1 - untouched :], untouched) == expected


def test_a_step_goes_down_and_no_further_than_allowed():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    descend(network, torch.optim.SGD(network.parameters(), 1.0), 100.0 * network.weight.sum(), 0.25)
    assert network.weight.item() == pytest.approx(-0.25, rel=1e-4)
