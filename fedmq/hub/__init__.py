"""The hub: the federation's broker, its users, queues and rights."""
