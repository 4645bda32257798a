"""Finite worlds in which every quantity is exact: `World`, what follows from it, random worlds and worlds that decide."""

from remid_jax.theory.worlds.quantities import Quantities, quantities
from remid_jax.theory.worlds.world import World, batch, from_arrays, in_blocks, to_arrays

__all__ = ["Quantities", "World", "batch", "from_arrays", "in_blocks", "quantities", "to_arrays"]
