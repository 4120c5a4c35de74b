"""The audit log: a chain of entries, the heads that others sign, and how both are verified."""
