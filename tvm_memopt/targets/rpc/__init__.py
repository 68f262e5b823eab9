"""Devices behind TVM's RPC: addresses, trackers and sessions."""

from tvm_memopt.targets.rpc.address import Address
from tvm_memopt.targets.rpc.device import Device
from tvm_memopt.targets.rpc.failures import DeviceError, DeviceLostError, DeviceTimeoutError, NoDeviceError
from tvm_memopt.targets.rpc.session import Session

__all__ = ["Address", "Device", "DeviceError", "DeviceLostError", "DeviceTimeoutError", "NoDeviceError", "Session"]
