"""A sweep: models behind defenses under threats and attacks, a run for every few cells, and one table."""
