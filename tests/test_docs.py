"""The reference of the site names what is public."""

from pathlib import Path

import pytest

import tvm_memopt
from tvm_memopt import errors

API = (Path(__file__).parent.parent / "docs" / "reference" / "api.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", sorted(set(tvm_memopt.__all__) - {"cost_model"}))
def test_a_public_name_is_in_the_reference(name):
    listed = "::: tvm_memopt.errors" if hasattr(errors, name) else f"::: tvm_memopt.{name}"
    assert listed in API
