"""How a run of training ends that was asked to stop; apart, as whoever launches runs need not know how they train."""

from __future__ import annotations


class Stopped(Exception):
    """The run was asked to stop; its state is saved. `step` of `steps` are done, in the part of the run named `within`."""

    def __init__(self, step: int, steps: int, within: str = ""):
        super().__init__(f"stopped after step {step} of {steps}{within and f' of {within}'}")
        self.step, self.steps = step, steps
