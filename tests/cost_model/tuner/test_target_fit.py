import json

import pytest

from tvm_memopt.cost_model.tuner.target_fit import architecture, difference, misfit

BUNDLED = '{"kind":"llvm","tag":"","keys":["cpu"],"num-cores":4,"mcpu":"x86-64-v3"}'
OLD = '{"kind":"llvm","mtriple":"x86_64-linux-gnu","mcpu":"x86-64-v2","cl-opt":["-enable-tbaa:bool=false"]}'


@pytest.fixture(autouse=True, scope="session")
def light_intrinsics():
    """No TVM is needed here."""


@pytest.mark.parametrize(
    ("target", "family"),
    [
        ({"mtriple": "x86_64-linux-gnu"}, "x86_64"),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "x86-64-v2"}, "aarch64"),
        ({"mcpu": "x86-64-v3"}, "x86_64"),
        ({"mtriple": "arm64-apple-darwin"}, "aarch64"),
    ],
)
def test_the_family_is_that_of_the_triple_then_of_the_processor(target, family):
    assert architecture(target) == family


def test_the_family_of_a_bare_target_is_this_machines(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    assert architecture({}) == "x86_64"


def test_a_network_fits_other_spellings_and_instructions_of_its_family():
    assert misfit(BUNDLED, OLD) is None
    assert difference(BUNDLED, OLD) == "mcpu x86-64-v3, here x86-64-v2"
    assert difference(OLD, OLD) is None


def test_another_family_and_another_kind_do_not_fit():
    arm = json.dumps({"kind": "llvm", "mtriple": "aarch64-linux-gnu"})
    assert misfit(BUNDLED, arm) == "processors of the family x86_64, expected aarch64"
    assert misfit(BUNDLED, '{"kind":"cuda"}') == "kind llvm, expected cuda"
