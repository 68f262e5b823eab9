"""Candidates built and timed, in worker processes or on devices."""
