"""What this machine can run: code for another processor is never called here."""

from __future__ import annotations

import os

import pytest
import tvm

from tvm_memopt.targets import host

x86_only = pytest.mark.skipif(os.uname().machine != "x86_64", reason="reads the flags of an x86-64 processor")
SKYLAKE_FLAGS = """
fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall
nx pdpe1gb rdtscp lm pni pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c
rdrand lahf_lm abm 3dnowprefetch invpcid fsgsbase bmi1 avx2 smep bmi2 erms rdseed adx smap clflushopt xsaveopt
xsavec xgetbv1 xsaves
"""
SKYLAKE = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "skylake"}


def test_the_default_target_runs_here():
    assert host.runs_here(tvm.target.Target("llvm"))


@pytest.mark.parametrize(
    "triple", ["riscv64-unknown-linux-gnu", "hexagon", "x86_64-pc-windows-msvc", "x86_64-apple-darwin"]
)
def test_another_architecture_or_system_does_not(triple):
    assert not host.runs_here(tvm.target.Target({"kind": "llvm", "mtriple": triple}))


@x86_only
def test_a_missing_instruction_set_is_named(monkeypatch):
    flags = host._processor_flags()
    target = tvm.target.Target({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mattr": ["+avx512f"]})
    assert "avx512f" in host.missing_features(target, flags - {"avx512f"})
    assert "avx512f" not in host.missing_features(target, flags | {"avx512f"})
    monkeypatch.setattr(host, "_processor_flags", lambda: flags - {"avx512f"})
    assert not host.runs_here(target)


@x86_only
def test_each_feature_of_a_known_processor_has_linux_s_name():
    """A Skylake client, as Linux lists it."""
    flags = host._plain_names(SKYLAKE_FLAGS.split())
    assert host.missing_features(tvm.target.Target(SKYLAKE), flags) == []
    assert host.missing_features(tvm.target.Target(SKYLAKE), flags - {"bmi2"}) == ["bmi2"]


def test_nothing_is_known_where_the_processor_says_nothing(monkeypatch):
    monkeypatch.setattr(host, "_processor_flags", set)
    assert not host.runs_here(
        tvm.target.Target({"kind": "llvm", "mtriple": f"{os.uname().machine}-linux-gnu", "mcpu": "haswell"})
    )
