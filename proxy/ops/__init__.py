"""The commands for operators: check, explain, keys and usage."""
