"""Divergences between two samples of texts, with what chance alone would show: representation and classifier estimates."""
