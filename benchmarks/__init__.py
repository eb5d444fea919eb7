"""Speed and memory, side by side with the bare cost of the steps."""
