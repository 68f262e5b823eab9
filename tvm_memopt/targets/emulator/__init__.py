"""An AArch64 device emulated with QEMU's user mode, for trying the edge path without a board."""
