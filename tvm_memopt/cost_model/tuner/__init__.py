"""Schedule search: cost models for MetaSchedule, and tuning of whole models."""
