"""Translates requests and answers between wire formats, and says what cannot be translated. No I/O."""
