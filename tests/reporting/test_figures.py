"""Figures plot the dictionary's numbers, equal bytes for equal results, and leave matplotlib's settings alone."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import fake_run
import matplotlib
import pytest

from remid_jax.information.estimates import Settings
from remid_jax.reporting import drawing, figures
from remid_jax.theory.bounds.balls import BALLS


@pytest.fixture(scope="module")
def results():
    return fake_run.results()


def lines(axes):
    """Points {(x, y): hollow} and intervals {(low, high, y): dashed} of an axes."""
    points, spans = {}, {}
    for line in axes.lines:
        x, y = line.get_xdata(), line.get_ydata()
        if len(x) == 1:
            points[x[0], y[0]] = line.get_markerfacecolor() == drawing.PAPER
        elif y[0] == y[1]:
            spans[x[0], x[1], y[0]] = line.get_linestyle() == "--"
    return points, spans


def places(axes):
    return dict(zip((text.get_text() for text in axes.get_yticklabels()), axes.get_yticks(), strict=True))


def test_forest_plots_every_emid_and_its_interval(results):
    whole, novel = figures.forest(results).axes
    estimates = results["estimates"]
    head = {name: estimates["headline"][name] for name in ("categories", "shifts")}
    parts = {
        kind: {name: estimates[kind][name]["reasoned"]["by_source"]["emid"]["novel"]["club"]["token_rate"] for name in of_kind}
        for kind, of_kind in head.items()
    }
    at = places(whole)
    for axes, numbers in ((whole, head), (novel, parts)):
        points, spans = lines(axes)
        means = {f"{shift} shift, mean": number for shift, number in numbers["shifts"].items()}
        expected = {**numbers["categories"], **means}
        assert set(at) == set(expected)
        assert points == {(number["value"], at[name]): True for name, number in expected.items()}
        assert spans == {(n["interval"]["low"], n["interval"]["high"], at[name]): True for name, n in expected.items()}
        assert {text.get_text() for text in axes.texts} == {f"{number['value']:+.4f}" for number in expected.values()}
        assert "nats per token" in axes.get_xlabel()
    assert [axes.get_title("left") for axes in (whole, novel)] == ["R-EMID", "novel R-EMID"]


def test_validated_intervals_are_solid_and_filled():
    results = fake_run.results(names=("IDTest", "german"), scorers=("plain",), n=32, settings=Settings(bootstrap=20))
    figure = figures.forest(results)
    points, spans = lines(figure.axes[0])
    assert set(points.values()) == set(spans.values()) == {False}
    assert len(figure.legends[0].get_texts()) == 2  # nothing hollow to explain


def test_terms_are_golden_and_policy_by_scorer(results):
    figure = figures.emi_terms(results)
    assert len(figure.axes) == 2
    for axes, scorer in zip(figure.axes, ("reasoned", "plain"), strict=True):
        points, _ = lines(axes)
        of = results["estimates"]["categories"].values()
        expected = {category[scorer][side]["club"]["token_rate"]["value"] for category in of for side in ("golden", "policy")}
        assert {x for x, _ in points} == expected


def test_panels_of_replies_are_the_diagnostics(results):
    tokens, density, truncated, language = (lines(axes)[0] for axes in figures.replies(results).axes)
    estimated, found = results["estimates"]["categories"].values(), results["categories"].values()
    assert {x for x, _ in tokens} == {c["lengths"][side]["tokens"]["value"] for c in estimated for side in ("golden", "policy")}
    assert {x for x, _ in density} == {c["tokens_per_char"][side] for c in found for side in ("golden", "policy")}
    assert {x for x, _ in truncated} == {c["replies"]["truncated"] / c["records"] for c in found}
    assert {x for x, _ in language} == {c[side]["in_language"] for c in found for side in ("golden", "replies")}


def test_self_information_only_where_there_is_some(results):
    (axes,) = figures.self_information(results).axes
    points, _ = lines(axes)
    own = {name: c for name, c in results["estimates"]["categories"].items() if c["self"]["self_information"]}
    assert list(places(axes)) == list(own) == ["IDTest", "german", "spanish", "chinese", "japanese", "korean"]
    expected = {c["self"]["self_information"]["response"]["value"] for c in own.values()}
    expected |= {c["reasoned"]["golden"]["mixture"]["response"]["value"] for c in own.values()}
    assert {x for x, _ in points} == expected


def test_bounds_are_plotted_for_the_categories_that_have_them(results):
    (axes,) = figures.figures(results)["bounds"].axes
    data = results["estimates"]["bounds"]["categories"]
    assert list(places(axes)) == ["german", "spanish", "chinese", "japanese", "korean"]
    points, _ = lines(axes)
    expected = set()
    for name in places(axes):
        found = data[name]["bounds"]["reasoned"]
        expected |= {number["value"] for number in (found["emid"], found["plug_in"]["bound"], found["unknown_shift"]["bound"])}
    assert {x for x, _ in points} == expected


def test_bars_stack_the_divergence_above_chance_by_factor(results):
    axes = figures.figures(results)["attribution"].axes[0]
    data = results["estimates"]["bounds"]["categories"]
    for name, at in places(axes).items():
        shapley = data[name]["divergence"]["shapley"]
        expected = sum(max(of["sum"]["value"] - of["null"], 0) for of in shapley.values())
        bars = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2 - at) < 1e-9]
        assert len(bars) == 3
        assert sum(bar.get_width() for bar in bars) == pytest.approx(expected)


def test_risk_curves_are_the_risks_over_the_radii(results):
    risk = results["estimates"]["bounds"]["risk"]["reasoned"]
    for axes in figures.figures(results)["risk"].axes:
        of_ball = risk["balls"][axes.get_title("left")]
        curves = [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == len(risk["radii"])]
        assert [number["value"] for number in of_ball["risk"]] in curves
        assert [number["value"] for number in of_ball["linear"]] in curves


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"names": ("IDTest",)}, ["emi_terms", "replies", "self_information", "risk"]),
        ({"names": ("german",), "with_self": False}, ["emi_terms", "replies"]),
        (
            {"names": ("IDTest", "Gaming"), "scorers": ("plain",), "n": 2, "with_self": False},
            ["r_emid", "emi_terms", "replies", "attribution"],
        ),
    ],
)
def test_partial_results_give_the_figures_they_can(choice, names):
    drawn = figures.figures(fake_run.results(**choice))
    assert list(drawn) == names
    for figure in drawn.values():
        assert drawing.svg_bytes(figure).startswith(b"<?xml")


def test_values_that_do_not_exist_are_not_plotted(results):
    results = fake_run.results(names=("IDTest", "german"))
    for number in results["estimates"]["headline"]["categories"].values():
        number |= {"value": None, "interval": None, "reason": "none"}
    results["categories"]["german"]["tokens_per_char"]["policy"] = None
    points, _ = lines(figures.forest(results).axes[0])
    assert [y for _, y in points] == [0.0]  # the shift's mean only
    (_, density, *_) = (lines(axes)[0] for axes in figures.replies(results).axes)
    assert set(density) == {(0.22, 0.0), (0.5, 1.5)}  # of the German replies the golden density only


def test_no_text_is_clipped(results):
    """Every text of every figure lies inside it."""
    for choice in (results, fake_run.results(names=("IDTest", "german"), scorers=("plain",))):
        for name, figure in figures.figures(choice).items():
            figure.draw_without_rendering()
            width, height = figure.bbox.size
            texts = [*figure.texts]
            for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
                low, high = sorted(axis.get_view_interval())
                texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [text for legend in figure.legends for text in legend.get_texts()]
            texts += [text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.title, axes._left_title)]
            for text in texts:
                box = text.get_window_extent()
                inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
                assert inside or not text.get_text(), (name, text.get_text(), box)


def test_names_are_drawn_as_they_are_written():
    """No mathematics: two dollars would be its marks, between which not everything can be read."""
    text = json.dumps(fake_run.results(names=("IDTest", "german"), scorers=("plain",)))
    drawn = figures.figures(json.loads(text.replace('"german"', json.dumps("cost $_$"))))
    for name in ("r_emid", "emi_terms", "replies", "self_information", "attribution", "bounds"):
        assert b"<!-- cost $_$ -->" in drawing.svg_bytes(drawn[name])
    risk = drawn["risk"]
    risk.draw_without_rendering()
    for axes in risk.axes[-len(BALLS) :]:
        low, high = axes.get_xlim()
        at = {place: label.get_text() for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
        shown = {place: label for place, label in at.items() if low <= place <= high}
        assert len(shown) > 1
        assert {place: float(label) for place, label in shown.items()} == pytest.approx({place: place for place in shown})


def test_equal_results_give_equal_bytes_without_dates_or_addresses(results):
    svg, png = (form(figures.forest(results)) for form in (drawing.svg_bytes, drawing.png_bytes))
    assert svg == drawing.svg_bytes(figures.forest(results))
    assert png == drawing.png_bytes(figures.forest(results))
    assert b"<dc:date" not in svg
    assert b"matplotlib.org" not in svg
    assert b"matplotlib.org" not in png
    ElementTree.fromstring(svg)


def test_inline_svg_has_its_own_ids_and_the_pages_colours(results):
    text = drawing.inline_svg(drawing.svg_bytes(figures.forest(results)), "one")
    assert text.startswith("<svg")
    assert "http" not in text
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("one-") for name in ids)
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)
    assert figures.INK not in text
    assert drawing.PAPER not in text
    assert "var(--ink)" in text


def test_matplotlibs_settings_stay_as_they_were(results, monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "axes.grid.axis", "y")
    before = dict(matplotlib.rcParams)
    drawing.png_bytes(figures.emi_terms(results))
    assert dict(matplotlib.rcParams) == before
    code = "import remid_jax.reporting.figures, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
