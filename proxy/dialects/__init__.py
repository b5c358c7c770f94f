"""The wire formats Standby speaks, one file per operation. `registry` finds them; `base` says what one is."""
