"""The section of the page of validation that is about curves over dials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remid_jax.reporting.markdown import paragraph, plain_table
from remid_jax.validation.dial_study import SHARES


def dial_lines(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yields the section of the page, from {world: rows of `dial_study.coverage` with their n}."""
    yield "### Curves over dials"
    yield ""
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    yield from paragraph(
        f"R-EMID by `club` over `mixture(category, share)` at {shares} (`remid_jax/validation/dial_study.py`): how often the "
        "95% band holds the exact curve at all shares, how often all four 95% intervals do, the intervals of each share, and "
        "the mean minus the truth over the standard deviation of a table at each share."
    )
    rows = [
        [name, row["n"], row["band"], row["pointwise_all"], *row["pointwise"], " / ".join(
            f"{bias / error:+.2f}" for bias, error in zip(row["bias"], row["error"], strict=True)
        )]
        for name, of_world in found.items() for row in of_world
    ]  # fmt: skip
    header = ["world", "n", "band", "all intervals", *(f"at {share:.0%}" for share in SHARES), "bias"]
    yield from plain_table(header, rows)
