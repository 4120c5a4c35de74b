"""PET/CT as hospitals have it, from files to arrays."""
