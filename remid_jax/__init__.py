"""Measure, bound and improve how role-playing language models generalise, from exact log-likelihoods, on any JAX device."""

__version__ = "0.1.0"
