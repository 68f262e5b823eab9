"""The graph network: layers, losses, training, checkpoints and predictions."""
