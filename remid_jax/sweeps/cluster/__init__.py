"""Points on the workers of a Ray cluster, of which only the machine that starts the sweep keeps anything."""
