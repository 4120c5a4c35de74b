"""Ways across: the broker's topology, RabbitMQ, a broker in the process, payloads in chunks."""
