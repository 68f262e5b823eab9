"""Baselines used only by benchmarks."""
