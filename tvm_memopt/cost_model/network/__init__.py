"""The graph network: its layers, losses, training, checkpoints and predictions."""
