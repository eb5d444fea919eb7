"""A run's folder: written whole, read as if forged, carried on."""
