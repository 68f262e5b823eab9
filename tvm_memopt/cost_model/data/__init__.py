"""What the network learns from: programs, their schedules, measured times, and the folders that keep them."""
