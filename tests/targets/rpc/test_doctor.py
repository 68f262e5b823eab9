"""The doctor beside a server on this machine."""

from __future__ import annotations

import pytest

pytest.importorskip("tvm", reason="devices run TVM's modules")

from tvm_memopt.targets.doctor import examine
from tvm_memopt.targets.rpc import Device


def test_a_device_in_order_passes_every_check_and_tells_its_version(server):
    found = {finding.name: finding for finding in examine(Device(rpc=server.address), None)}
    assert not [finding for finding in found.values() if finding.passed is False]
    assert found["a trivial kernel"].text == "right"
    assert found["version of the runtime"].text.endswith("as here")


def test_without_a_device_only_this_machine_is_examined():
    names = [finding.name for finding in examine(None, None)]
    assert names[-1] == "device"
    assert "a trivial kernel" not in names
