"""Kernels: their scratch memory, in-place pairs and costs."""
