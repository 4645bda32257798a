"""Benchmarks: building one over endpoints, and gates that say which records are fit for it."""
