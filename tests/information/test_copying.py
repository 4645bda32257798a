"""Parts of replies by source, identification and misplacement in a whole table, against loops over its arrays."""

import functools

import numpy as np
import pytest
from identified_by_loops import by_loops
from scipy import stats
from score_arrays import score_arrays, with_sources, without

from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimate, estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import NOVEL, SOURCES
from remid_jax.parallel import Devices

COUNTS = {"IDTest": 8, "german": 8, "Gaming": 8}
UNITS = ("token_rate", "response", "per_token", "per_char")


@functools.cache
def arrays():
    return with_sources(score_arrays(COUNTS))


@functools.cache
def results():
    return estimates(parse(arrays()), Settings(), Devices())


def value(number):
    return number["value"]


def club_of(category, replies, sources, rate=True):
    parts = arrays()[f"{category}/loglik_by_source/reasoned/{replies}"][..., [SOURCES.index(s) for s in sources]].sum(-1)
    scores, n = parts / arrays()[f"{category}/tokens/{replies}"] if rate else parts, len(parts)
    return np.mean(np.diagonal(scores)) - np.mean([scores[i, j] for i in range(n) for j in range(n) if i != j])


@pytest.mark.parametrize("source", [*SOURCES, "novel"])
def test_a_part_is_club_of_its_own_tokens_over_the_length_of_the_whole_reply(source):
    sources = NOVEL if source == "novel" else (source,)
    of_category = {name: club_of(name, "policy", sources) - club_of(name, "golden", sources) for name in ("IDTest", "german")}
    section = results()["categories"]["german"]["reasoned"]["by_source"]
    assert value(section["emi"][source]["club"]["token_rate"]) == pytest.approx(of_category["german"], abs=1e-12)
    lost = of_category["IDTest"] - of_category["german"]
    assert value(section["emid"][source]["club"]["token_rate"]) == pytest.approx(lost, abs=1e-12)
    nats = club_of("german", "policy", sources, rate=False)
    assert value(section["policy"][source]["club"]["response"]) == pytest.approx(nats, abs=1e-12)
    per_token = nats / arrays()["german/tokens/policy"].mean()
    assert value(section["policy"][source]["club"]["per_token"]) == pytest.approx(per_token, abs=1e-12)


def test_the_four_parts_sum_to_the_whole_and_two_of_them_to_the_novel_part():
    checked = 0
    sections = [*results()["categories"].values(), *results()["shifts"].values()]
    for section in (section[scorer] for section in sections for scorer in ("reasoned", "plain")):
        for term, parts in section["by_source"].items():
            for formula in ("club", "prompt_marginal"):
                for unit in UNITS[formula != "club" :]:
                    numbers = {part: value(of[formula][unit]) for part, of in parts.items()}
                    assert sum(numbers[source] for source in SOURCES) == pytest.approx(
                        value(section[term][formula][unit]), abs=1e-10
                    )
                    assert numbers["short_quote"] + numbers["own"] == pytest.approx(numbers["novel"], abs=1e-10)
                    checked += 1
    assert checked == 3 * 2 * 7 * 4 - 2 * 7 + 2 * 2 * 7 * 2 - 0 * 7


def test_shares_are_ratios_of_tokens():
    counts = arrays()["german/tokens_by_source/policy"]
    copied = results()["categories"]["german"]["copied"]["policy"]
    assert [value(copied[source]) for source in SOURCES] == pytest.approx(counts.sum(0) / counts.sum(), abs=1e-12)


def rates_of(category, replies, novel):
    loglik = arrays()[f"{category}/loglik/reasoned/{replies}"]
    tokens = arrays()[f"{category}/tokens/{replies}"]
    if novel:
        loglik = arrays()[f"{category}/loglik_by_source/reasoned/{replies}"][..., 2:].sum(-1)
        tokens = arrays()[f"{category}/tokens_by_source/{replies}"][:, 2:].sum(-1)
    return loglik / tokens


@pytest.mark.parametrize("view", ["whole", "novel"])
def test_identified_is_the_share_of_loops(view):
    shares = {
        (name, side): by_loops(
            rates_of(name, side, view == "novel"), arrays()[f"{name}/lineage"], np.ones(COUNTS[name])
        )
        for name in COUNTS
        for side in ("golden", "policy")
    }  # fmt: skip
    for name in COUNTS:
        section = results()["categories"][name]["reasoned"]["identified"]
        assert value(section["golden"][view]) == pytest.approx(shares[name, "golden"], abs=1e-12)
        assert value(section["policy"][view]) == pytest.approx(shares[name, "policy"], abs=1e-12)
        points = shares[name, "policy"] - shares[name, "golden"]
        assert value(section["emi"][view]) == pytest.approx(points, abs=1e-12)
    german, idtest = (shares[name, "policy"] - shares[name, "golden"] for name in ("german", "IDTest"))
    section = results()["categories"]["german"]["reasoned"]["identified"]
    assert value(section["emid"][view]) == pytest.approx(idtest - german, abs=1e-12)


def misplaced_table(share, n=32, seed=0):
    """Every `1 / share`-th golden reply of each category is given to another context by the policy."""
    found = {name: array for name, array in score_arrays({"IDTest": n, "german": n}, seed).items() if "self/" not in name}
    order = np.roll(np.arange(n), n // 2)
    for name in [name for name in found if name.endswith("/golden")]:
        array = found[name]
        moved = np.arange(n) < share * n
        chosen = np.where(moved, order, np.arange(n))
        found[name.replace("/golden", "/policy")] = array[:, chosen] if array.ndim == 2 else array[chosen]
    return found


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_policy_that_says_golden_replies_to_others_is_misplaced_by_that_share(share):
    found = estimate(misplaced_table(share))
    section = found["categories"]["german"]["reasoned"]["misplaced_equivalent"]
    assert value(section["emi"]["whole"]) == pytest.approx(share, abs=1e-9)
    assert value(section["emid"]["whole"]) == pytest.approx(0, abs=1e-9)


def test_half_misplaced_is_half_in_the_mean_over_which_half():
    values = []
    for seed in range(6):
        found = estimate(misplaced_table(0.5, seed=seed))["categories"]["IDTest"]["reasoned"]["misplaced_equivalent"]
        values.append(value(found["emi"]["whole"]))
    assert np.mean(values) == pytest.approx(0.5, abs=3 * np.std(values) / np.sqrt(5) + 0.02)


def test_without_a_gap_to_misplace_there_is_no_equivalent():
    noise = score_arrays({"IDTest": 8, "german": 8}, signal=0.0)
    section = estimate(noise)["categories"]["german"]["reasoned"]["misplaced_equivalent"]["emi"]["whole"]
    assert section["value"] is None
    assert section["reason"] == "the interval of the EMI of golden replies of others includes 0"


def test_the_smallest_loss_is_that_of_a_t_test_with_four_fifths_power():
    number = results()["headline"]["categories"]["german"]
    low, high, clusters = (number["interval"][key] for key in ("low", "high", "clusters"))
    error = (high - low) / 2 / stats.t.ppf(0.975, clusters - 1)
    expected = (stats.t.ppf(0.975, clusters - 1) + stats.t.ppf(0.8, clusters - 1)) * error
    assert number["smallest_loss"] == pytest.approx(expected, rel=1e-9)
    assert (
        number["smallest_loss"] == results()["categories"]["german"]["reasoned"]["emid"]["club"]["token_rate"]["smallest_loss"]
    )


def test_a_table_without_sources_has_the_whole_alone():
    found = estimate(without(arrays(), "by_source"))
    section = found["categories"]["german"]["reasoned"]
    assert "by_source" not in section
    assert list(section["identified"]["policy"]) == ["whole"]
    assert found["verdict"]["quantity"] == "whole"


def test_parts_that_do_not_sum_to_their_whole_are_refused():
    broken = dict(arrays())
    broken["german/loglik_by_source/plain/golden"] = broken["german/loglik_by_source/plain/golden"] + 1e-3
    with pytest.raises(UserError, match="german/loglik_by_source/plain/golden does not sum to loglik/plain/golden"):
        parse(broken)


def test_sources_of_some_sets_of_replies_alone_are_refused():
    """Else the novel part would be left out without a word."""
    names = [f"{category}/tokens_by_source/constant" for category in COUNTS]
    broken = {name: of for name, of in arrays().items() if not ("by_source" in name and name.endswith("/constant"))}
    said = "; ".join(f"{name} is missing, and other replies have theirs" for name in names)
    with pytest.raises(UserError, match=f"^score table: {len(names)} faults: {said}: "):
        parse(broken)
