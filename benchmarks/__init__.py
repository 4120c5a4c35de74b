"""Measurements of fedmq beside its peers and its limits: `python -m benchmarks NAME`."""
