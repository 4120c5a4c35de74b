"""The catalogue: training plans installed with fedmq."""
