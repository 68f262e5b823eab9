"""Training data: programs, their schedules, measured times, and the folders that store them."""
