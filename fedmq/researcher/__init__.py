"""The researcher's side: describe an experiment, submit it, follow it, fetch its model."""
