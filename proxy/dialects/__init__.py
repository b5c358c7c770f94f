"""The wire formats of the supported APIs, one file per operation. `base` is the interface."""
