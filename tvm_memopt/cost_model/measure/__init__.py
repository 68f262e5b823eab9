"""Build and time candidates, in worker processes or on remote devices."""
