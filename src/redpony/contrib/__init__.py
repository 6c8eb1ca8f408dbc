"""Adapters to other packages: each needs its own, and none is imported unasked."""
