"""A planned module as a program of its own: one static arena, kernels from LLVM, no runtime of TVM."""
