"""Every message that crosses the broker, as values and as bytes; no I/O."""
