"""Schedules chosen by the network's predictions alone: nothing is measured."""
