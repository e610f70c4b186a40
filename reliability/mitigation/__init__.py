"""Cures of a chip: what each changes in its description, what it costs, and which to take."""
