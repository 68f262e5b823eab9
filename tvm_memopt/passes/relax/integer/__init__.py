"""Integer arithmetic for quantised operators: int32 accumulators, and rescaling in fixed point as TFLite defines it."""
