"""The data dictionary: what the sites of a study mean by each clinical variable."""
