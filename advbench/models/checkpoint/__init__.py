"""Checkpoints of every usual form, loaded without running anything that they hold."""
