"""Exported torch programs: numbers against torch, and one-line failures."""

import sys
from pathlib import Path

import pytest

from tests.frontends.running import relative_error, run_main
from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import SymbolicDim, import_model, model_inputs, random_inputs
from tvm_memopt.frontends.relax_types import bounds_of

torch = pytest.importorskip("torch", reason="exported programs need torch")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 5)

    def forward(self, x):
        return self.dense(torch.relu(self.conv(x)).mean((2, 3)))


class Spectrum(torch.nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).real


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def static_program(net, tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("torch") / "static.pt2", net, torch.rand(2, 3, 8, 8))


@pytest.fixture(scope="module")
def dynamic_program(net, tmp_path_factory) -> Path:
    batch = torch.export.Dim("batch", min=2, max=16)
    return save(tmp_path_factory.mktemp("torch") / "dynamic.pt2", net, torch.rand(3, 3, 8, 8), {"x": {0: batch}})


def save(path: Path, net, example, dynamic=None) -> Path:
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes=dynamic), path)
    return path


def failure(path: Path, shapes=None) -> str:
    with pytest.raises(FrontendError) as caught:
        import_model(path, shapes)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_static_program_gives_the_reference_numbers(net, static_program):
    mod = import_model(static_program)
    inputs = random_inputs(mod, 0)
    expected = net(torch.from_numpy(inputs[0])).detach().numpy()
    assert relative_error(run_main(mod, inputs)[0], expected) < 1e-5


def test_a_dynamic_dimension_takes_the_given_size(net, dynamic_program):
    mod = import_model(dynamic_program, {"x": (4, 3, 8, 8)})
    assert bounds_of(mod["main"]) == {}
    inputs = random_inputs(mod, 0)
    assert inputs[0].shape == (4, 3, 8, 8)
    assert relative_error(run_main(mod, inputs)[0], net(torch.from_numpy(inputs[0])).detach().numpy()) < 1e-5


def test_the_bound_of_the_program_is_kept_and_can_be_lowered(dynamic_program):
    assert model_inputs(import_model(dynamic_program))[0].shape == (16, 3, 8, 8)
    lowered = import_model(dynamic_program, {"x": (SymbolicDim("batch", 8), 3, 8, 8)})
    assert model_inputs(lowered)[0].shape == (8, 3, 8, 8)
    assert "must lie between 2 and 16, not 32" in failure(dynamic_program, {"x": (32, 3, 8, 8)})


def test_an_unsupported_operator_is_named_with_its_node(tmp_path: Path):
    message = failure(save(tmp_path / "net.pt2", Spectrum(), torch.rand(2, 8)))
    assert "_fft_r2c.default (node '_fft_r2c')" in message


def test_a_truncated_program_is_one_line(static_program, tmp_path: Path):
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(static_program.read_bytes()[:2000])
    assert "truncated" in failure(cut)


def test_without_the_package_the_command_that_installs_it_is_named(static_program, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install torch" in failure(static_program)
