"""Formulations from published papers, implemented as references and selectable by name."""
