"""The commands that collect training data and train the learned models."""
