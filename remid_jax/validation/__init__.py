"""Estimators, intervals and bounds where the truth is known: one study a file, rows of figures out."""
