"""Kernels of quantised models that read and write narrow tensors."""
