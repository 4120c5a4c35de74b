"""The page of a dataset: its cases as pictures and numbers, for the eyes of the site."""
