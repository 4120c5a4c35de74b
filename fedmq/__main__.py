"""`python -m fedmq` is the command `fedmq`."""

from fedmq.cli.main import main

main()
