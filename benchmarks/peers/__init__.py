"""Other systems under the same load, each by a harness of its own that is no part of fedmq."""
