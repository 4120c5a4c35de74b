"""Layouts: how the files of a dataset lie in its folder, and which case each of them is of."""
