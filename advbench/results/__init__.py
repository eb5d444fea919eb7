"""Records, statistics, indicators, verdicts, rows: plain data, without torch and without files."""
