"""Commands and options for devices."""
