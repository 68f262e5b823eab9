"""Passes over kernels (PrimFuncs): scratch memory, in-place pairs and costs."""
