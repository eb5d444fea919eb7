"""Classifiers and defenses whose robustness is known, for the verdict to be held to."""
