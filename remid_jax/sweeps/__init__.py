"""Many runs as one: points and what they need, an index of what is done, launchers that do the rest."""
