"""Faults on purpose, for the demo only: a switch and a page that take Redis away."""
