"""The program at one hospital: it alone touches patients' data."""
