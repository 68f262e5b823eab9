"""The formulations of the papers, as published: references, selectable by name."""
