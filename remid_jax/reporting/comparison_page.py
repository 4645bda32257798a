"""A comparison of runs as one HTML page that needs nothing beside it: tables that sort, numbers in full on pointing at them."""

from __future__ import annotations

from markupsafe import Markup

from remid_jax.reporting import comparison, comparison_tables, drawing, page
from remid_jax.reporting.cells import DAGGER
from remid_jax.reporting.comparison_figures import curves
from remid_jax.reporting.comparison_ranking import is_large, ranking
from remid_jax.reporting.subjects import Results
from remid_jax.settings import flat


def html(results: Results) -> str:
    """Returns the page; every text from `results` is escaped, and the same results give the same page."""
    quantities = comparison_tables.quantities(results)
    by, large = comparison_tables.ranked(results), is_large(results)
    drawn = curves(results)
    return page.template("compare.html").render(
        title=comparison.title(results),
        sentences=comparison.lines(results),
        notes=comparison.notes(results),
        figures={} if drawn is None else {"curves": Markup(drawing.inline_svg(drawing.svg_bytes(drawn), "curves"))},
        ranking=[ranking(results, quantity, ("shift", "category")) for quantity in by if large],
        differences=[comparison_tables.differences(results, quantity) for quantity in quantities if not large],
        ranks=[comparison_tables.ranks(results, quantity) for quantity in quantities if not large],
        smallest=[comparison_tables.smallest(results, quantity) for quantity in quantities if not large],
        changed=[(run, record) for run, records in results["changed"].items() for record in records],
        contributions=results["contributions"],
        baseline=results["baseline"],
        runs=results["runs"],
        settings=flat(results["settings"]),
        dagger=DAGGER,
    )
