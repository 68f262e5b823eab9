"""Scheduled programs as graphs: typed nodes, edges and their columns."""
