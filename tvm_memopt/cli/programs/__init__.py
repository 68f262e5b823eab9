"""Programs, which are modules with one static arena and no runtime of TVM, in the commands."""
