"""The page of a training run: its numbers are numpy's, its curves the log's, its texts shown as text."""

import json
import math
import re

import fake_training
import numpy as np
import pytest
from html_page import Page

from remid_jax.errors import UserError
from remid_jax.learning import journal
from remid_jax.reporting import drawing, training, training_figures, training_log

ONE = (("sft", 0, 30),)
GRPO_COLUMNS = {
    "Loss": ("loss",), "Reward": ("reward",), "Reward: likelihood": ("reward/likelihood",),
    "Reward: format": ("reward/format",), "KL to the reference": ("kl",),
    "Entropy": ("entropy",), "Clipped tokens": ("clipped_low", "clipped_high"),
    "Nothing to learn from": ("flat_groups", "excluded"), "Length": ("tokens", "longest"), "Truncated": ("truncated",),
    "Sampler gap": ("sampler_gap",), "Gradient norm": ("gradient_norm",), "Speed": ("tokens_per_second",),
}  # fmt: skip


@pytest.fixture(scope="module")
def logs():
    return fake_training.log()


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, logs):
    return fake_training.write(tmp_path_factory.mktemp("run"), *logs)


@pytest.fixture(scope="module")
def log(workdir):
    return training_log.read(workdir)


@pytest.fixture(scope="module")
def written(workdir):
    path = training.write_training_report(workdir, fake_training.ABOUT)
    assert path == workdir / "training.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written):
    return Page(written)


def of(logs, phase, iteration, column):
    """A metric's values over a span, from the rows that were written."""
    times = {row["step"]: row for row in logs[1]}
    rows = [{**times[row["step"]], **row} for row in logs[0] if (row["phase"], row["iteration"]) == (phase, iteration)]
    return np.array([row[column] for row in rows])


def test_it_reads_the_files_that_the_journal_writes():
    ours = (training_log.METRICS, training_log.TIMES, training_log.ROLLOUTS)
    assert ours == (journal.METRICS, journal.TIMES, journal.ROLLOUTS)


def test_means_are_numpys(logs, page):
    checked = 0
    for phase, iterations in (("reasoner cold start", [0]), ("responder re-fit", [1, 2]), ("responder GRPO", [1, 2])):
        rows = page.tables[f"Means of {phase}"]
        for panel, columns in GRPO_COLUMNS.items():
            for column in columns:
                if phase != "responder GRPO" and column not in ("loss", "entropy", "gradient_norm", "tokens_per_second"):
                    assert not any(label.startswith(panel) for label in rows)
                    continue
                known = {p.title: p for p in training_log.panels([column])}[panel]
                label = f"{panel}, {known.curves[column]}" if len(columns) > 1 else panel
                (cells,) = [found for name, found in rows.items() if name.partition(" (")[0] == label]
                expected = []
                for iteration in iterations:
                    values = of(logs, phase, iteration, column)
                    quarter = math.ceil(len(values) / 4)
                    expected += [np.nanmean(values[:quarter]), np.nanmean(values[-quarter:])]
                np.testing.assert_allclose([value for value, _, _ in cells], expected, rtol=1e-12)
                checked += len(expected)
    assert checked == 4 * 2 + 4 * 4 + 16 * 4
    assert page.tables["Means of responder re-fit"][""] is not None


def test_the_course_of_the_run_is_counted(logs, page):
    rows = page.tables["What ran, in order"]
    first = 0
    for phase, iteration, steps in fake_training.PHASES:
        count, numbers, time, tokens = rows[f"{phase}, iteration {iteration}" if iteration else phase]
        seconds = of(logs, phase, iteration, "seconds")
        assert (count[0], numbers[1]) == (steps, f"{first} to {first + steps - 1}")
        assert time[0] == pytest.approx(seconds.sum())
        assert tokens[0] == pytest.approx((seconds * of(logs, phase, iteration, "tokens_per_second")).sum())
        first += steps
    assert rows["reasoner cold start"][2][1].endswith("s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.4, "59.4 s"), (59.97, "1 min 00 s"), (3599.6, "1 h 00 min"), (7384, "2 h 03 min")],
)
def test_durations(seconds, text):
    assert training._duration(seconds) == text


def raw(axes, column):
    return [line for line in axes.lines if line.get_label() == f"_{column}"]


def test_curves_are_the_logs_by_span(logs, log):
    figure = training_figures.phase("reasoner GRPO", log.phases["reasoner GRPO"], "#0072b2")
    axes = {axes.get_title(loc="left").partition(" (")[0]: axes for axes in figure.axes if axes.get_visible()}
    assert set(axes) == set(GRPO_COLUMNS)
    for title, columns in GRPO_COLUMNS.items():
        for column in columns:
            first, second = raw(axes[title], column)
            assert list(first.get_xdata()) == list(range(1, 91))
            assert list(second.get_xdata()) == list(range(91, 181))
            for iteration, line in ((1, first), (2, second)):
                np.testing.assert_array_equal(line.get_ydata(), of(logs, "reasoner GRPO", iteration, column))
    assert np.isnan(raw(axes["Reward: likelihood"], "reward/likelihood")[0].get_ydata()).any()
    assert {text.get_text() for text in axes["Reward"].texts} == {"iteration 1", "iteration 2"}
    boundaries = [line.get_xdata()[0] for line in axes["Entropy"].lines if line.get_linestyle() == ":"]
    assert boundaries == [90.5]


def test_the_course_shows_each_phases_aim_at_the_runs_steps(logs, log):
    above, below = training_figures.course(log).axes
    starts = np.cumsum([0, *(steps for _, _, steps in fake_training.PHASES)])
    supervised = [(p, i, s) for (p, i, _), s in zip(fake_training.PHASES, starts, strict=False) if "GRPO" not in p]
    rewarded = [(p, i, s) for (p, i, _), s in zip(fake_training.PHASES, starts, strict=False) if "GRPO" in p]
    for axes, column, spans in ((above, "loss", supervised), (below, "reward", rewarded)):
        for line, (phase, iteration, start) in zip(raw(axes, column), spans, strict=True):
            values = of(logs, phase, iteration, column)
            np.testing.assert_array_equal(line.get_ydata(), values)
            np.testing.assert_array_equal(line.get_xdata(), start + np.arange(len(values)))
        assert len(axes.patches) == 8
    assert [text.get_text().strip() for text in above.texts] == ["iteration 1", "iteration 2"]


def test_the_running_mean_skips_what_is_no_number():
    values = np.array([1.0, 2, np.nan, 4, 10, 1])
    expected = [np.nanmean(values[max(0, n - 1) : n + 2]) if n != 2 else np.nan for n in range(6)]
    np.testing.assert_allclose(training_figures.running_mean(values, 3), expected)
    assert [training_figures.window(steps) for steps in (1, 19, 20, 90, 400)] == [0, 0, 5, 9, 25]


def test_every_shown_rollout_is_there_as_text(logs, written, page):
    text = "".join(page.text)
    shown = 0
    for phase in ("reasoner GRPO", "responder GRPO"):
        steps = {row["step"] for row in logs[0] if row["phase"] == phase}
        last = sorted({row["step"] for row in logs[2]} & steps)[-training.STEPS_SHOWN :]
        for row in logs[2]:
            if row["step"] in last:
                assert row["text"] in text
                shown += 1
        for step in last:
            assert f"Rollouts of step {step}" in text
    assert shown == 2 * training.STEPS_SHOWN * 6
    assert page.tags.isdisjoint({"script", "img", "link", "iframe"})
    assert text.count(fake_training.HOSTILE) == 8
    assert "{{ 7 * 7 }}" in written
    assert page.tags >= {"details", "svg"}


def test_rollouts_of_a_record_are_sorted_by_reward_and_show_all_numbers(logs, page):
    last = max(row["step"] for row in logs[2])
    rows = [row for row in logs[2] if row["step"] == last and row["record"] == "id-train-2"]
    ordered = sorted(rows, key=lambda row: -math.inf if row["reward"] is None else row["reward"], reverse=True)
    ((_, shown),) = training._groups_of_rollouts(rows, ["reward/likelihood", "reward/format"])
    assert [row["text"] for row in shown] == [row["text"] for row in ordered]
    for row, wanted in zip(shown, ordered, strict=True):
        assert row["advantage"] == f"{wanted['advantage']:+.2f}"
        assert row["reward"] == ("–" if wanted["reward"] is None else f"{wanted['reward']:.3f}")
        assert row["apart"] == [row["reward"], f"{wanted['reward/format']:.3f}"]
        assert row["good"] == (wanted["advantage"] > 0)


def test_long_texts_are_folded_and_short_ones_are_not():
    assert training._start("x" * training.FOLDED_FROM) is None
    words = "word " * 100
    assert training._start(words) == "word " * 35 + "word …"
    assert training._start("字" * 300) == "字" * (training.FOLDED_FROM - 60) + " …"


def test_about_is_shown_and_escaped(tmp_path):
    evil = fake_training.HOSTILE
    fake_training.write(tmp_path, *fake_training.log(((evil, 0, 3),)))
    about = {"model": evil, evil: evil, "config": {"a": {evil: evil}}, "none": None}
    page = Page(training.write_training_report(tmp_path, about).read_text(encoding="utf-8"))
    assert page.tags.isdisjoint({"script", "img"})
    assert "".join(page.text).count(evil) >= 9
    assert f"a.{evil}" in "".join(page.text)


@pytest.mark.parametrize("with_times", [True, False])
def test_a_run_of_one_phase_without_rollouts(tmp_path, with_times):
    metrics, times, _ = fake_training.log(ONE)
    fake_training.write(tmp_path, metrics, times if with_times else None)
    page = Page(training.write_training_report(tmp_path, {}).read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert set(page.tables) == {"What ran, in order", "Means of sft"}
    assert "Rollouts" not in text
    assert list(training_figures.figures(training_log.read(tmp_path))) == ["phase0"]
    (loss,) = [cells for label, cells in page.tables["Means of sft"].items() if label == "Loss"]
    assert loss[0][0] == pytest.approx(np.mean([row["loss"] for row in metrics[:8]]))
    assert loss[1][0] == pytest.approx(np.mean([row["loss"] for row in metrics[-8:]]))
    assert ("Speed" in text) == with_times
    assert page.tables["What ran, in order"]["sft"][2][1] == ("–" if not with_times else training._duration(
        sum(row["seconds"] for row in times)
    ))  # fmt: skip


def test_unknown_metrics_and_metrics_without_a_number(tmp_path):
    metrics = [{"step": n, "phase": "p", "iteration": 0, "loss": 1.0, "novel": n, "kl": float("nan")} for n in range(4)]
    fake_training.write(tmp_path, metrics)
    rows = Page(training.write_training_report(tmp_path, {}).read_text(encoding="utf-8")).tables["Means of p"]
    assert [value for value, _, _ in rows["novel"]] == [0, 3]
    assert not any(label.startswith("KL") for label in rows)


def test_a_run_without_steps(tmp_path):
    fake_training.write(tmp_path, [])
    text = "".join(Page(training.write_training_report(tmp_path, {}).read_text(encoding="utf-8")).text)
    assert "No step was made." in text


def test_equal_logs_give_equal_bytes(tmp_path, logs, written):
    fake_training.write(tmp_path, *logs)
    assert training.write_training_report(tmp_path, fake_training.ABOUT).read_text(encoding="utf-8") == written


def test_nothing_is_asked_of_the_network_and_ids_are_unique(written, page):
    assert "http:" not in written
    assert "https:" not in written
    assert len(page.ids) == len(set(page.ids))
    targets = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert targets <= set(page.ids)


def test_broken_logs(tmp_path, logs):
    with pytest.raises(UserError, match=r"holds no metrics\.jsonl"):
        training.write_training_report(tmp_path, {})
    fake_training.write(tmp_path, logs[0][:5])
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"step": 5, "lo')  # cut off by a kill
    assert len(training_log.read(tmp_path).spans[0].rows) == 5
    path.write_text(whole + '{"step": \n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 6: broken JSON"):
        training_log.read(tmp_path)
    path.write_text(whole + json.dumps({"phase": "p"}) + "\n")
    with pytest.raises(UserError, match='line 6: must be an object with a "step"'):
        training_log.read(tmp_path)


def test_a_wide_gradient_norm_stands_on_a_logarithmic_axis(tmp_path):
    for norms, scale in (([1, 2, 3], "linear"), ([0.01, 1, 3], "log"), ([0.0, 1, 3], "linear")):
        rows = [{"step": n, "phase": "p", "iteration": 0, "gradient_norm": norm} for n, norm in enumerate(norms)]
        fake_training.write(tmp_path, rows)
        figure = training_figures.figures(training_log.read(tmp_path))["phase0"]
        assert figure.axes[0].get_yscale() == scale
        assert drawing.png_bytes(figure).startswith(b"\x89PNG")


def test_replies_without_advantages_say_what_they_counted_for(tmp_path):
    rollouts = [
        {"step": 0, "record": "a", "text": "worst", "reward": None, "kept": False},
        {"step": 0, "record": "a", "text": "best", "reward": 0.75, "kept": True},
        {"step": 0, "record": "b", "text": "own", "rejected": True},
    ]
    fake_training.write(tmp_path, [{"step": 0, "phase": "rft", "iteration": 0, "loss": 1.0}], rollouts=rollouts)
    page = training.write_training_report(tmp_path, {}).read_text()
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)]
    shown = {row[0].strip(): row[1:] for row in rows if row and row[0].strip() in ("best", "worst", "own")}
    assert shown == {"best": ["0.750", "kept"], "worst": ["–", "–"], "own": ["–", "rejected"]}
