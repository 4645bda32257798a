"""The page and figure of doses: every figure of the page from numbers by hand."""

from remid_jax.reporting import dose_figures, dose_page
from remid_jax.reporting.drawing import png_bytes

RUNGS = {"golden": 0.0, "parrot 100%": 1.0}


def number(value):
    bounds = {"low": value - 0.1, "high": value + 0.1, "validated": True, "clusters": 16, "level": 0.95}
    return {"value": value, "interval": bounds}


def found():
    """Two categories, where the parrot is at -1 and -2 of every quantity; of `identified` it is not known in the second."""
    values = {
        name: {"IDTest": {"golden": number(0.0), "parrot 100%": number(-1.0)},
               "german": {"golden": number(0.0), "parrot 100%": number(-2.0)}}
        for name in dose_page.SHOWN
    }  # fmt: skip
    values["identified"]["german"]["parrot 100%"] = {"value": None, "interval": None}
    how = {"IDTest": "resolved", "german": "reversed"}
    meanings = {"golden": "the golden reply", "parrot 100%": "the user's last turn"}
    return {
        "config": {
            "benchmark": {"source": "b", "categories": ["IDTest", "german"]}, "page": "found.md", "seed": 0,
            "estimator": {"model": "m", "dtype": "float32", "adapters": "", "max_reasoning": 8},
        },
        "records": {"IDTest": 16, "german": 16},
        "rungs": {
            name: {"meaning": meanings[name], "share": 1.0, "ladder": None, "dose": None, "changed": {"IDTest": c, "german": c}}
            for name, c in RUNGS.items()
        },
        "left_out": {"stale": "german: silent"},
        "values": values,
        "claims": {name: {"golden > parrot 100%": how} for name in values},
        "ladders": {name: {"parrot": {"IDTest": "monotone", "german": "missing"}} for name in values},
        "power": {"16": {name: {"misplaced 25%": None, "parrot 50%": 3.0} for name in values}},
        "planted": [
            {"lineages": 16, "shift": "user", "share": 0.25, "view": view, "draws": 200, "changed": changed, "planted": 0.2,
             "mean": 0.21, "covered": covered, "short": short, "beyond": 0.01, "named": 0.9,
             "skewed": 0.25, "others": None if view == "novel" else 0.95}
            for view, changed, covered, short in (
                ("whole", 20.0, 0.94, 0.05), ("whole", 16.0, 0.905, 0.085), ("novel", 32.0, 0.96, 0.03)
            )
        ],
        "languages": {
            "club token_rate": {"german": {"parrot 100%": 2.0, "stale": 0.5}, "korean": {"parrot 100%": 4.0}},
            "identified": {"german": {"parrot 100%": 1.0}, "korean": {}},
        },
    }  # fmt: skip


def test_every_table_counts_what_it_says():
    page = dose_page.page(found(), "doses.png")
    flags = """--config.page=found.md --config.benchmark.source=b "--config.benchmark.categories=('IDTest', 'german')\""""
    assert f"Written by `python -m experiments.doses {flags}`;" in " ".join(page.split())
    lines = page.splitlines()
    assert "![Values by rung](doses.png)" in lines
    assert "- `stale` is left out: german: silent." in lines
    assert "| golden | +0.000 | +0.000 | +0.000 | +0.000 | +0.000 | +0.000 | +0.000 | +0.000 |" in lines
    assert "| parrot 100% | -1.500 | -1.500 | – | -1.500 | -1.500 | -1.500 | -1.500 | -1.500 |" in lines
    assert "| club token_rate | 1 (1) !1 of 2 |" in lines
    assert "| club token_rate | 1 (0) of 2, 1 not known |" in lines
    assert "| 16 | user | 25% | whole | 20 | +0.200 | +0.210 | 94.0% | 5.0% | 1.0% | 90.0% | 25.0% | 95.0% | 200 |" in lines
    assert "| 16 | user | 25% | novel | 32 | +0.200 | +0.210 | 96.0% | 3.0% | 1.0% | 90.0% | 25.0% | – | 200 |" in lines
    where = "where 20 or more replies changed 94.0% to 96.0%; where fewer did 90.5% to 90.5%."
    assert where in " ".join(lines)
    assert "at most 1.0% of a row's begin above the loss" in " ".join(lines)
    assert "| club token_rate | 1 of 2 | 1 | 1 of 2 | 0 | 3.0 | 90.5% |" in lines
    assert "| novel club token_rate | 1 of 2 | 1 | 1 of 2 | 0 | 3.0 | 96.0% |" in lines
    assert "| identified | 1 of 2 | 1 | 1 of 2 | 0 | 3.0 | – |" in lines
    at = lines.index("| identified | 1.00 | – | 0.00 |")  # the unit that moves least comes first
    assert lines[at + 1] == "| club token_rate | 1.00 | 4.00 | 0.92 |"  # (log 2 + log 2 + log 4) / 3


def test_the_figure_has_a_panel_a_quantity_and_a_mark_for_each_known_number():
    figure = dose_figures.rungs(found())
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert len(panels) == len(dose_page.SHOWN)
    marks = [sum(line.get_marker() == "o" for line in axes.lines) for axes in panels]
    assert marks == [3 if name == "identified" else 4 for name in dose_page.SHOWN]
    assert png_bytes(figure).startswith(b"\x89PNG")
