"""The same numbers sooner: without this room every table stays."""
