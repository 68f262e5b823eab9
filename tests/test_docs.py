"""The reference of the site names what is public."""

from pathlib import Path

import pytest

import tvm_memopt
from tvm_memopt import errors, relay

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
API = (REFERENCE / "api.md").read_text(encoding="utf-8").splitlines()
PAGES = [line for page in REFERENCE.glob("*.md") for line in page.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", sorted(set(tvm_memopt.__all__) - {"cost_model", "relay"}))
def test_a_public_name_is_in_the_reference(name):
    listed = "::: tvm_memopt.errors" if hasattr(errors, name) else f"::: tvm_memopt.{name}"
    assert listed in API


@pytest.mark.parametrize("name", relay.__all__)
def test_a_name_for_relay_is_in_the_reference(name):
    assert f"::: {relay._HOMES[name]}.{name}" in PAGES
