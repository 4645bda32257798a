"""Shift settings with a dial: categories made of a benchmark's own records (docs/dials.md)."""
