"""The options that name a device behind RPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.targets.rpc import Device

_F = TypeVar("_F", bound=Callable[..., object])


def rpc_options(function: _F) -> _F:
    """Add --rpc, --tracker and --key to a command."""
    for option in (
        click.option("--key", metavar="KEY", help="Key under which the devices are registered."),
        click.option("--tracker", metavar="HOST:PORT", help="Use the devices of an RPC tracker."),
        click.option("--rpc", metavar="HOST:PORT", help="Use the device whose RPC server has this address."),
    ):
        function = option(function)
    return function


def named_device(rpc: str | None, tracker: str | None, key: str | None, timeout: float = 60.0) -> Device | None:
    """The device that the options name, or None without them.

    ``timeout``: seconds of a session. Raises MemoptError if the options do not go together.
    """
    if rpc is None and tracker is None and key is None:
        return None
    if rpc is not None and (tracker is not None or key is not None):
        raise MemoptError("--rpc names a device, and --tracker with --key others: leave one of them out")
    from tvm_memopt.targets.rpc import Device

    return Device(rpc=rpc, tracker=tracker, key=key, timeout=timeout)
