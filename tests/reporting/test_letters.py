"""Names in letters that the figures' font lacks: drawn by a font that has them, else spelt out, and without a warning."""

import json
import warnings

import fake_run
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.text import Text

from remid_jax.reporting import drawing, figures, letters

NAMES = {"german": "독일어", "Literature": "文学 & 😀 $ ナ"}


@pytest.fixture(autouse=True)
def own_fonts(monkeypatch):
    """No other fonts than matplotlib's own; returns a function that installs one with these letters."""
    monkeypatch.setattr(fontManager, "ttflist", [font for font in fontManager.ttflist if "DejaVu" in font.name])
    letters.fonts_for.cache_clear()
    yield lambda path, name, of: fontManager.ttflist.append(FontEntry(fname=font_with(path, name, of), name=name))
    letters.fonts_for.cache_clear()


def font_with(path, name, of):
    pen = TTGlyphPen(None)
    for command, *point in ((pen.moveTo, (0, 0)), (pen.lineTo, (500, 0)), (pen.lineTo, (250, 700)), (pen.closePath,)):
        command(*point)
    glyphs = [".notdef", *(f"u{ord(letter):04X}" for letter in of)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(letter): glyph for letter, glyph in zip(of, glyphs[1:], strict=True)})
    font.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return str(path)


def drawn():
    """The labels of categories in a figure, and all its other texts; a warning is an error."""
    results = json.dumps(fake_run.results())
    for name, other in NAMES.items():
        results = results.replace(json.dumps(name), json.dumps(other))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figures.forest(json.loads(results))
        assert drawing.svg_bytes(figure) == drawing.svg_bytes(figure)
        drawing.png_bytes(figure)
    labels = {label.get_text(): label for label in figure.axes[0].get_yticklabels()}
    assert len(labels) == len(fake_run.CATEGORIES) - 1 + 3  # without IDTest, with a mean of each shift
    return labels, {text.get_text() for text in figure.findobj(Text)}


NOTE = "letters that no font here has are spelt out: the tables have them"


def test_letters_that_no_font_has_are_spelt_out():
    labels, texts = drawn()
    assert {"Dog-Il-Eo", "6587-5B66 & 😀 $ Na", "spanish", "user shift, mean"} < set(labels)
    assert labels["user shift, mean"].get_fontweight() == "bold"
    assert NOTE in texts


def test_fonts_of_this_machine_draw_what_they_have(own_fonts, tmp_path):
    own_fonts(tmp_path / "a.ttf", "Some Korean", "독일어")
    labels, texts = drawn()
    assert {"독일어", "6587-5B66 & 😀 $ Na"} < set(labels)
    assert labels["독일어"].get_fontfamily() == [letters.FONT, "Some Korean"]
    assert NOTE in texts
    own_fonts(tmp_path / "b.ttf", "Some Han", "学文ナ어😀")
    letters.fonts_for.cache_clear()
    labels, texts = drawn()
    assert set(NAMES.values()) < set(labels)
    assert labels["독일어"].get_fontfamily() == [letters.FONT, "Some Han", "Some Korean"]
    assert NOTE not in texts


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("한국어", "Han-Gug-Eo"), ("中文", "4E2D-6587"), ("plain", "plain"), ("a中b", "a 4E2D b"), ("(中)", "(4E2D)"),
        ("🤖 2", "robot face 2"), ("葛\U000e0100", "845B"), ("かな", "Ka-Na"),
        ("ไทย", "Sara Ai Maimalai-Tho Thahan-Yo Yak"), ("\ue000", "E000"),
    ],
)  # fmt: skip
def test_what_a_letter_is_called(text, spelt):
    assert letters.spelt(text, letters.foreign(text)) == spelt
    assert not letters.foreign(spelt)
