"""Griffe extension: names that a package loads on first use are documented under their public path.

``tvm_memopt/__init__.py`` keeps its public names in the table ``_HOMES``, name -> module, which static analysis does
not follow. Each entry becomes an alias, so that ``::: tvm_memopt.solve`` works wherever the function lives.
"""

from __future__ import annotations

import ast
from typing import Any

import griffe

# Packages whose lazy name has no table: name -> module.
_SINGLE = {"tvm_memopt.cost_model": "GCNCostModel"}


class LazyNames(griffe.Extension):
    """Adds an alias for each name of ``_HOMES``, and for the lazy class of ``tvm_memopt.cost_model``."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called once the package is read."""
        if pkg.path != "tvm_memopt":
            return
        for name, home in _homes(pkg).items():
            if home != pkg.path and name not in pkg.members:
                pkg.set_member(name, griffe.Alias(name, f"{home}.{name}", parent=pkg))
        for path, name in _SINGLE.items():
            package = pkg[path.removeprefix("tvm_memopt.")]
            if name not in package.members:
                package.set_member(name, griffe.Alias(name, _definition(package, name), parent=package))


def _homes(pkg: griffe.Module) -> dict[str, str]:
    value = pkg.members["_HOMES"].value
    return {str(name): str(home) for name, home in ast.literal_eval(str(value)).items()}


def _definition(package: Any, name: str) -> str:
    """The path of the class ``name``, which stands in some module of ``package``."""
    for member in package.members.values():
        if member.is_alias or not member.is_module:
            continue
        if name in member.members and member.members[name].is_class:
            return str(member.members[name].path)
        try:
            return _definition(member, name)
        except LookupError:
            continue
    raise LookupError(f"{package.path} defines no class {name}")
