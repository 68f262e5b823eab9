"""Device profiles and toolchains."""

from tvm_memopt.targets.catalogue import builtin_devices, device_profile
from tvm_memopt.targets.fit import Fit
from tvm_memopt.targets.profile import Arithmetic, Compiler, DeviceProfile, Memory, Rates

__all__ = ["Arithmetic", "Compiler", "DeviceProfile", "Fit", "Memory", "Rates", "builtin_devices", "device_profile"]
