"""Redpony and its peers under the same faults: `python -m benchmarks.faults`."""
