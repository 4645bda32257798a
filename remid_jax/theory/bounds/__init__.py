"""Upper bounds on EMID: on finite worlds by name, from a ball of shifts, layer by layer; and the attack from below."""
