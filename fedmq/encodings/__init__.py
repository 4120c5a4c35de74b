"""Encodings: how updates travel in fewer bytes, as parameters files."""
