"""The search for schedules: cost models for MetaSchedule, and tuning of whole models."""
