"""How often the 95% intervals of a comparison hold the true difference of two runs, on worlds where it is known.

python -m benchmarks.paired_coverage [--replications=1000]
"""

from __future__ import annotations

import datetime
import time

from absl import app, flags

from remid_jax.validation.comparison_study import SIZES, coverage
from remid_jax.validation.coverage_study import channels

_REPLICATIONS = flags.DEFINE_integer("replications", 1000, "Pairs of runs a world and size.", lower_bound=1)


def main(_: list[str]) -> None:
    began = time.monotonic()
    print(
        f"{datetime.date.today()}, {_REPLICATIONS.value} replications: coverage, and that of the intervals that are validated"
    )
    for alike in (False, True):
        for name, channel in channels().items():
            for n in SIZES:
                found = coverage(channel, n, _REPLICATIONS.value, alike, 0, lambda done, total: None)
                for estimator, of_estimator in found.items():
                    cells = [
                        f"{quantity} {of['coverage']:5.1%}, validated {of['validated']:4.0%}: {of['coverage_validated']:5.1%} "
                        f"({of['value']:+.3f} +-{of['half_width']:.3f})"
                        for quantity, of in of_estimator.items()
                    ]
                    world = f"{'equal' if alike else 'other'} random numbers, {name}, n = {n}"
                    print(f"{world:42} {estimator:15} {'   '.join(cells)}", flush=True)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    app.run(main)
