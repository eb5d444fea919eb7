"""What one can do with a model and its defenses, each from settings to a folder of records."""
