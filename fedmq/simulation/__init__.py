"""A whole federation in one process: the real services, with a broker, disks and clocks of memory.

Everything that happens follows from a seed, so that what went wrong happens again.
"""
