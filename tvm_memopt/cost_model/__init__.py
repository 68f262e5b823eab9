"""The graph-convolution performance model: programs, measured data and the features it learns from."""
