"""A world whose order is known: replies that keep a known share of what golden ones tell, with a copied part that tells nothing
new; and ladders, pairs and power on numbers by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from remid_jax.information import dose_response as doses
from remid_jax.information.emi import golden_of_another
from remid_jax.information.estimates import Settings
from remid_jax.information.score_table import BySource, Category, Design, Replies, ScoreTable

N, TOKENS = 16, 40
SETTINGS = Settings(bootstrap=0)


def replies(rng, fit, echo=0.0):
    """Each token's own part fits by `fit`, its echo by `echo`: nats a reply that its own context adds to others."""
    noise = rng.normal(0, 0.5, (N, N))
    parts = np.zeros((N, N, 4))
    parts[..., 3] = -2.0 * TOKENS + noise + np.eye(N) * fit * rng.uniform(0.8, 1.2, N)
    parts[..., 0] = np.eye(N) * echo
    tokens = np.tile([TOKENS // 2, 0, 0, TOKENS - TOKENS // 2], (N, 1))
    alone = parts.mean(axis=0)
    by_source = BySource(tokens, {"reasoned": parts}, {"reasoned": alone})
    return Replies(tokens.sum(1), 4 * tokens.sum(1), {"reasoned": parts.sum(-1)}, {"reasoned": alone.sum(-1)}, by_source)


@pytest.fixture(scope="module")
def tables():
    """{rung: table}; golden replies tell 20 nats, the others less, and a parrot echoes 60 more than it tells."""
    rungs = {"three quarters": (15.0, 0.0), "half, then echo": (10.0, 30.0), "parrot": (0.0, 60.0)}
    made = {rung: {} for rung in ("golden", *rungs)}
    for number, name in enumerate(("IDTest", "german")):
        rng = np.random.default_rng(number)
        golden = replies(rng, 20.0)
        lineage = np.array([f"l{k}" for k in range(N)])
        other = golden_of_another(golden, [np.arange(N)])
        for rung in made:
            policy = replies(rng, *rungs[rung]) if rung in rungs else golden
            said = {"golden": golden, "policy": policy, "golden_other": other}
            made[rung][name] = Category(np.array([f"{name}-{k}" for k in range(N)]), lineage, said)
    design = {"IDTest": Design(None, None), "german": Design("user", "IDTest")}
    return {rung: ScoreTable(("reasoned",), categories, design) for rung, categories in made.items()}


@pytest.fixture(scope="module")
def found(tables):
    with jax.enable_x64(True):
        return doses.values(tables, SETTINGS, lambda *_: None)


def test_values_are_what_the_world_was_made_of(found, tables):
    for category in ("IDTest", "german"):
        assert all(found[name][category]["golden"]["value"] == 0 for name in doses.QUANTITIES)
        for rung, table in tables.items():
            loglik = {side: table.categories[category].replies[side].loglik["reasoned"] for side in ("policy", "golden")}
            club = {side: np.trace(of) / N - of[~np.eye(N, dtype=bool)].mean() for side, of in loglik.items()}
            assert found["club response"][category][rung]["value"] == pytest.approx(club["policy"] - club["golden"])
    assert found["club response"]["german"]["parrot"]["value"] == pytest.approx(60 - 20, abs=1.5)
    assert found["novel club response"]["german"]["parrot"]["value"] == pytest.approx(-20, abs=1.5)
    assert found["novel club token_rate"]["german"]["half, then echo"]["value"] == pytest.approx(-10 / TOKENS, abs=0.04)


def test_novel_quantities_find_the_order_and_raw_ones_praise_the_parrot(found):
    ranks = doses.order(found)
    for category in ("IDTest", "german"):
        assert ranks["novel club token_rate"][category] == ["golden", "three quarters", "half, then echo", "parrot"]
        assert ranks["novel misplaced_equivalent"][category][0] == "golden"  # smaller is better there
        assert ranks["club token_rate"][category] == ["parrot", "half, then echo", "golden", "three quarters"]
    ladder = {"down": ("golden", "three quarters", "half, then echo", "parrot")}
    how = doses.on_ladders(found, ladder)
    assert how["novel club token_rate"]["down"] == {"IDTest": "resolved", "german": "resolved"}
    assert how["club token_rate"]["down"] == {"IDTest": "reversed", "german": "reversed"}
    pairs = doses.on_pairs(found, [("half, then echo", "parrot")])
    assert pairs["novel club response"] == {"half, then echo > parrot": {"IDTest": "resolved", "german": "resolved"}}
    assert pairs["club response"] == {"half, then echo > parrot": {"IDTest": "reversed", "german": "reversed"}}


def number(value, low=None, high=None):
    bounds = {"low": low, "high": high, "clusters": 9, "level": 0.95}
    return {"value": value, "interval": None if value is None else bounds}


@pytest.mark.parametrize(
    ("numbers", "how"),
    [
        ([number(0, 0, 0), number(-1, -2, 0.5), number(-2, -3, -1)], "resolved"),
        ([number(0, 0, 0), number(-1, -2, 0.5), number(-1, -3, 1)], "monotone"),
        ([number(0, 0, 0), number(-2, -3, -1), number(-1, -2, 0)], "within"),
        ([number(0, 0, 0), number(-2, -3, -1), number(-0.5, -0.9, 0)], "reversed"),
        ([number(0, 0, 0), number(None), number(-1, -2, 0)], "missing"),
        ([number(0, 0, 0), number(-1), number(-1, -2, 0)], "missing"),
    ],
)
def test_a_ladder_is_one_of_five(numbers, how):
    rungs = dict(zip("abc", numbers, strict=True))
    assert doses.on_ladders({"identified": {"IDTest": rungs}}, {"l": "abc"}) == {"identified": {"l": {"IDTest": how}}}
    mirrored = {rung: number(*(None if v is None else -v for v in (n["value"], *_ends(n)))) for rung, n in rungs.items()}
    found = doses.on_ladders({"misplaced_equivalent": {"IDTest": mirrored}}, {"l": "abc"})
    assert found == {"misplaced_equivalent": {"l": {"IDTest": how}}}


def _ends(of):
    return (of["interval"]["high"], of["interval"]["low"]) if of["interval"] else (None, None)


def test_languages_are_ratios_to_the_reference_and_bytes_those_of_the_texts():
    rungs = {"IDTest": {"a": number(-0.5), "b": number(0.25), "c": number(None)},
             "chinese": {"a": number(-1.0), "b": number(-0.25), "c": number(-1.0)}}  # fmt: skip
    found = doses.across_languages(
        {"club per_char": rungs, "identified": rungs}, {"chinese": "IDTest"}, "abc", {"IDTest": 1.0, "chinese": 3.0}
    )
    assert found == {
        "club per_char": {"chinese": {"a": 2.0}},
        "identified": {"chinese": {"a": 2.0}},
        "club per_byte": {"chinese": {"a": pytest.approx(2 / 3)}},
    }


def test_power_is_the_value_over_the_jackknife_error_of_parts_without_overlap(tables):
    some = {rung: tables[rung] for rung in ("golden", "parrot")}
    with jax.enable_x64(True):
        power = doses.power(some, SETTINGS, 0, lambda *_: None)
    assert list(power) == ["8", "16"]
    ratios = []
    for category in ("IDTest", "german"):
        loglik = {side: some["parrot"].categories[category].replies[side].loglik["reasoned"] for side in ("policy", "golden")}

        def emi(kept, loglik=loglik):
            club = {
                side: np.mean(np.diagonal(of[np.ix_(kept, kept)]))
                - of[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)].mean()
                for side, of in loglik.items()
            }
            return club["policy"] - club["golden"]

        deleted = np.array([emi(np.delete(np.arange(N), k)) for k in range(N)])
        error = np.sqrt((N - 1) / N * np.sum((deleted - deleted.mean()) ** 2))
        ratios.append(abs(emi(np.arange(N))) / error)
    assert power["16"]["club response"]["parrot"] == pytest.approx(np.mean(ratios), rel=1e-6)
    assert power["16"]["club response"]["golden"] is None
    # Half the lineages: about 1/sqrt(2) of it.
    assert power["8"]["novel club response"]["parrot"] / power["16"]["novel club response"]["parrot"] == pytest.approx(
        0.7, abs=0.3
    )


def test_what_is_not_known_has_no_power(tables):
    """Where golden replies fit no context better than others do, nobody's replies are misplaced by a share of anything."""
    lost = tables["golden"].categories["IDTest"]
    nothing = replies(np.random.default_rng(5), 0.0)
    said = {"golden": nothing, "policy": lost.replies["golden"], "golden_other": golden_of_another(nothing, [np.arange(N)])}
    table = ScoreTable(("reasoned",), {"IDTest": dataclasses.replace(lost, replies=said)})
    with jax.enable_x64(True):
        found = doses.values({"better": table}, SETTINGS, lambda *_: None)
        power = doses.power({"better": table}, SETTINGS, 0, lambda *_: None)
    assert found["misplaced_equivalent"]["IDTest"]["better"]["value"] is None
    assert power["16"]["misplaced_equivalent"] == {"better": 0.0}
    assert doses.order(found)["misplaced_equivalent"] == {"IDTest": []}
