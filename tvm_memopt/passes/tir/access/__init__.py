"""Which bytes of its buffers a kernel touches, and in which order."""
