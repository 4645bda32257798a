"""The page and figure of agreement: every number of the page from results made by hand."""

import numpy as np

from remid_jax.information.agreement import RatedNumbers, agreement_estimates
from remid_jax.reporting import agreement_figures, agreement_page
from remid_jax.reporting.drawing import png_bytes

NAMES = [*dict.fromkeys((*agreement_page.TOLD, *agreement_page.OF_SYSTEMS))]


def found():
    """Twelve contexts, two systems; all quantities but one are the score itself, one is the same everywhere."""
    context, system = np.repeat(np.arange(12), 2).astype(str), np.tile(["good", "bad"], 12)
    scores = np.where(system == "good", 4.0, 1.0) + np.repeat(np.arange(12), 2) / 12
    quantities = dict.fromkeys(NAMES, scores) | {"tokens": np.full(24, 7.0)}
    sections = agreement_estimates(RatedNumbers(context, context, system, quantities, {"fit": scores}), 0.95, 0)
    counts = {"replies": 24, "contexts": 12, "lineages": 12, "others": 11, "scored": {"fit": 24}}
    return {"model": {"source": "m", "dtype": "float32"}, "settings": {"seed": 0}, "counts": counts, **sections}


def test_tables_hold_the_numbers():
    lines = agreement_page.page(found(), "r.jsonl", "a.png").splitlines()
    assert "![Agreement by quantity](a.png)" in lines
    assert any("`python -m experiments.agreement --config.input=r.jsonl`: 24 replies of 2 systems to 12" in of for of in lines)
    assert "| club token_rate | +1.00 | +1.00 | 100% | – |" in lines
    assert "| tokens | – | – | 50% | – |" in lines
    assert any(of.startswith("– needs 3 systems with unlike means") for of in lines)
    [note] = [of for of in lines if of.startswith("In brackets 95% intervals over 12 contexts and 2 systems")]
    assert "agreement.json has those over contexts alone" in note
    [good] = [of for of in lines if of.startswith("| good |")]
    assert good.startswith("| good | 4.46 (4.27, 4.65)† |")
    assert agreement_page.sentences(found()) == [
        "fit: Spearman of club token_rate +1.00, novel club token_rate +1.00, identified +1.00, novel identified +1.00, "
        "loglik without context +1.00, tokens –"
    ]


def test_the_figure_has_a_mark_for_each_known_number():
    figure = agreement_figures.agreement(found())
    [axes] = [axes for axes in figure.axes if axes.get_title(loc="left") == "fit"]
    assert sum(line.get_marker() == "o" for line in axes.lines) == len(NAMES) - 1
    assert [text.get_text() for text in axes.get_yticklabels()] == NAMES
    assert png_bytes(figure).startswith(b"\x89PNG")
