"""Commands that read a plan or buffers and need no model."""
