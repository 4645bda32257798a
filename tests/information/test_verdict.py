"""The answer in words, sentence by sentence, from numbers written by hand."""

import pytest
from scipy import stats

from remid_jax.information.verdict import finding, verdict


def number(value, low=None, high=None, validated=True, clusters=16, **more):
    bounds = None if value is None else {"low": low, "high": high, "level": 0.95, "clusters": clusters, "validated": validated}
    return {"value": value, "interval": bounds, **more}


def tree(of, by_reply=None, by_character=None):
    return {"club": {"token_rate": of, "response": by_reply, "per_char": by_character}}


def section(whole, novel, misplaced=None, share=None, by_reply=None, dropped=None, by_character=None):
    """A shift's or category's estimates: EMID of whole replies and of what is novel in them."""
    placed = {"novel": share or number(misplaced, 0, 1), "whole": number(misplaced, 0, 1)}
    of_term = {"emi": tree(whole), "emid": tree(whole), "estimator_shift": tree(dropped or number(0.1, -0.1, 0.3))}
    by_source = {term: {"novel": tree(novel, by_reply, by_character)} for term in ("emi", "emid")}
    return {
        "categories": ["german"],
        "reasoned": of_term | {"by_source": by_source, "misplaced_equivalent": {"emi": placed, "emid": placed}},
    }


def estimates(shifts, reference=None, echoed=0.0, density=0.3, constant=None):
    shares = {"echo": number(0.0), "long_quote": number(0.0)}
    copied = {"golden": shares, "policy": {**shares, "echo": number(echoed)}}
    id_section = section(number(-0.1, -0.3, 0.1), number(-0.2, -0.3, -0.1), 0.4) if reference is None else reference
    return {
        "headline": {"shifts": {}, "scorer": "reasoned"},
        "horizon": None,
        "shifts": shifts,
        "categories": {
            "IDTest": {
                "shift": None,
                "reference": None,
                "lineages": 16,
                "copied": copied,
                "lengths": lengths(0.25),
                **id_section,
            },
            "german": {"shift": "user", "reference": "IDTest", "lineages": 16, "copied": copied, "lengths": lengths(density)},
        },
        "controls": {"reasoned": {} if constant is None else {"constant": {"german": {"novel": tree(number(constant))}}}},
    }


def lengths(density):
    return {"golden": {"tokens_per_char": number(density)}}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (number(0.2, 0.1, 0.3), "loss"),
        (number(-0.2, -0.3, -0.1), "gain"),
        (number(0.05, -0.1, 0.2), "none"),
        (number(0.2, 0.0, 0.4), "none"),  # an interval that touches 0 shows nothing
        (number(0.2, 0.1, 0.3, validated=False), "open"),
        (number(0.2), "open"),
        (number(None, reason="no golden replies"), "open"),
    ],
)
def test_an_interval_says_what_was_found(of, expected):
    assert finding(of) == expected


def test_each_shift_is_answered_and_the_answer_comes_first():
    found = verdict(
        estimates(
            {
                "user": section(number(-0.4, -0.9, 0.1), number(0.31, 0.12, 0.5), 0.23),
                "character": section(number(0.02, -0.2, 0.24), number(0.01, -0.14, 0.16, smallest_loss=0.22)),
                "dialogue": section(number(-0.1, -0.2, 0.0), number(-0.12, -0.2, -0.04)),
            },
            echoed=0.26,
        )
    )
    assert found["quantity"] == "novel"
    assert {shift: of["finding"] for shift, of in found["shifts"].items()} == {
        "user": "loss",
        "character": "none",
        "dialogue": "gain",
    }
    assert found["sentences"] == [
        "On this benchmark, by this estimator: user shift costs this policy something; under dialogue shift its replies stand "
        "better beside golden ones than in familiar conditions; no loss is shown under character shift, where up to 0.16 nats "
        "a token are not excluded.",
        "In familiar conditions (IDTest) its replies tell 0.20 (0.10 to 0.30) less novel information than golden ones, nats a "
        "token, as if 40% (0% to 100%) of the golden ones were swapped between contexts; copied text included, "
        "0.10 (-0.10 to 0.30) less.",
        "26% of the policy's tokens there repeat its own context (0% of the golden ones): figures of whole replies praise "
        "that, and their intervals are then too narrow.",
        "User shift costs +0.31 (+0.12, +0.50) nats a token of novel information, as if 23% (0% to 100%) more of the "
        "replies had been meant for somebody else. Copied text included: -0.40 (-0.90, +0.10).",
        "Character shift: no loss is shown, +0.01 (-0.14, +0.16) nats a token of novel information; one above 0.16 is "
        "excluded, and a true one of 0.22 would be found in four of five such runs. Copied text included: "
        "+0.02 (-0.20, +0.24).",
        "Dialogue shift: no loss but a gain on golden replies, -0.12 (-0.20, -0.04) nats a token of novel information. Copied "
        "text included: -0.10 (-0.20, +0.00).",
    ]


def test_shifts_whose_loss_few_lineages_carry_are_named_at_the_end():
    lost = number(0.31, 0.12, 0.5)
    marked = {**lost, "interval": {**lost["interval"], "skewed": True}}
    found = verdict(estimates({"user": section(lost, lost), "dialogue": section(lost, marked)}))
    assert found["shifts"]["dialogue"]["finding"] == "loss"
    assert found["sentences"][-1] == (
        "Few lineages carry what is measured under dialogue shift: such an interval may end too soon, and a loss be larger "
        "than it says."
    )
    whole = verdict(estimates({"user": section(marked, lost)}))  # of a quantity that the sentences are not about
    assert not any("Few lineages" in sentence for sentence in whole["sentences"])


def test_what_golden_replies_lose_and_a_constant_reply_would_is_said_beside_what_is_lost():
    dropped = number(0.39, 0.17, 0.61)
    of_shift = section(number(0.0, -0.2, 0.2), number(0.01, -0.14, 0.16, smallest_loss=0.22), dropped=dropped)
    found = verdict(estimates({"user": of_shift}, constant=-0.75))
    golden = "Golden replies themselves tell less there, as this estimator reads them: +0.39 (+0.17, +0.61)."
    constant = "As much as one constant reply to everybody there would lose"
    assert found["sentences"][-1].endswith(f"included: +0.00 (-0.20, +0.20). {golden} {constant}, +0.55, is excluded.")
    error = 0.15 / stats.t.ppf(0.975, 15)
    share = stats.t.cdf(0.12 / error - stats.t.ppf(0.975, 15), 15)
    less = verdict(estimates({"user": of_shift}, constant=-0.32))
    needed = 54  # 16 lineages find .22, so .12 takes 16 (.22 / .12)^2 = 53.8
    assert less["shifts"]["user"]["constant"] == {
        "loss": pytest.approx(0.12), "found": pytest.approx(share, abs=1e-9), "lineages": needed
    }  # fmt: skip
    assert less["shifts"]["user"]["finding"] == "blind"
    assert less["sentences"][0] == (
        "On this benchmark, by this estimator: under user shift it cannot be told, neither a pass nor a failure: the interval "
        f"includes 0, and such a run finds few losses (that of one constant reply to everybody in {share:.0%} of runs; in 80% "
        f"with about {needed} lineages a category)."
    )
    assert "User shift: it cannot be told, +0.01 (-0.14, +0.16)" in less["sentences"][-1]
    assert less["sentences"][-1].endswith(f"there would lose +0.12, which {share:.0%} of such runs would find.")
    outside = verdict(estimates({"user": of_shift}, constant=-0.38))  # where it would lose 0.18, and the interval ends at 0.16
    assert outside["shifts"]["user"]["finding"] == "blind"
    assert outside["sentences"][-1].endswith("of such runs would find; taken as known, that loss lies above this interval.")
    surely = verdict(estimates({"user": of_shift}, constant=-0.45))["shifts"]["user"]
    assert (surely["finding"], surely["constant"]["found"] > 0.8) == ("none", True)
    lost = section(number(0.0, -0.2, 0.2), number(0.3, 0.1, 0.5, smallest_loss=0.3))
    told = verdict(estimates({"user": lost}, constant=-0.4))["sentences"][-1]
    assert told.endswith("One constant reply to everybody there would lose +0.20.")


def test_the_end_above_which_a_loss_is_excluded_is_never_rounded_down():
    found = verdict(estimates({"user": section(number(0.0, -0.2, 0.2), number(-0.21, -0.4228, 0.0110))}))
    assert "one above 0.011 is excluded" in found["sentences"][-1]
    assert found["sentences"][0].endswith("under user shift, where up to 0.011 nats a token are not excluded.")
    for end, told in ((0.01101, "0.012"), (0.07, "0.070"), (0.1901, "0.20"), (1.23, "1.3"), (12.3, "13"), (0.0, "0")):
        of = verdict(estimates({"user": section(number(0.0, -0.2, 0.2), number(-0.2, -0.47, end))}))
        assert f"one above {told} is excluded" in of["sentences"][-1]


@pytest.mark.parametrize(
    ("by_token", "by_reply", "expected"),
    [
        (number(-0.2, -0.42, 0.01), number(9.0, 1.0, 17.0), "unit"),
        (number(0.2, 0.1, 0.3), number(1.0, -7.0, 9.0), "unit"),
        (number(0.2, 0.1, 0.3), number(9.0, 1.0, 17.0), "loss"),
        (number(-0.2, -0.3, -0.1), number(-10.83, -18.97, -2.69), "gain"),
        (number(-0.2, -0.42, 0.01), number(-10.83, -18.97, -2.69), "none"),
        (number(-0.2, -0.42, 0.01), number(9.0, 1.0, 17.0, validated=False), "none"),
    ],
)
@pytest.mark.parametrize("horizon", [None, 40])
@pytest.mark.parametrize("share", [number(None), number(0.27, 0.09, 0.44, validated=False)])
@pytest.mark.parametrize("by_character", [number(0.25, -0.1, 0.6), number(-0.25, -0.6, 0.1)])
def test_texts_of_unlike_density_are_told_in_all_units_and_where_these_disagree_it_is_said(
    by_token, by_reply, expected, horizon, share, by_character
):
    of_shift = section(number(0.0, -0.2, 0.2), by_token, share=share, by_reply=by_reply, by_character=by_character)
    found = verdict(estimates({"user": of_shift}, density=0.4) | {"horizon": horizon})
    assert found["shifts"]["user"]["finding"] == expected
    ends = by_reply["interval"]
    mark = "" if ends["validated"] else ", not validated"
    said = f"{by_reply['value']:+.1f} ({ends['low']:+.1f}, {ends['high']:+.1f}{mark})"
    cut = ", cut at token 40 where it is longer," if horizon else ""
    placed = "" if share["value"] is None else ", as a share of replies meant for somebody else 27% (9% to 44%, not validated)"
    low, high = (by_character["interval"][end] for end in ("low", "high"))
    character = f"{by_character['value']:+.2f} ({low:+.2f}, {high:+.2f})"
    signs = {of["value"] > 0 for of in (by_token, by_reply, by_character)}
    closing = []
    if expected == "unit":
        closing = ["So whether a loss is shown depends on the unit."]
    elif len(signs) == 2:
        closing = ["Even the sign depends on the unit: take none of these for a loss or a gain."]
    assert found["shifts"]["user"]["notes"] == [
        "Golden replies of german hold up to 1.6 times less text a token than those of familiar conditions, so nats a token "
        f"compare unlike amounts of text. In nats a reply{cut} it is {said}{placed}, and in nats a character {character}.",
        *closing,
    ]
    assert ("whether a loss under user shift is shown depends on the unit" in found["sentences"][0]) == (expected == "unit")
    alike = verdict(estimates({"user": of_shift}, density=0.3))["shifts"]["user"]
    assert alike["notes"] == []
    assert alike["finding"] == finding(by_token)


def test_a_policy_that_tells_no_more_than_a_constant_reply_has_nothing_to_lose_and_its_small_intervals_count():
    of_shift = section(number(0.0, -0.2, 0.2), number(0.0, -0.01, 0.01, smallest_loss=0.014))
    found = verdict(estimates({"user": of_shift}, constant=-0.1))  # here it tells .2 less than golden replies in IDTest
    assert found["shifts"]["user"]["finding"] == "none"
    assert found["shifts"]["user"]["constant"]["lineages"] is None
    assert found["sentences"][-1].endswith("tell no more than one constant reply would here, which would lose nothing.")


def test_what_a_constant_reply_would_lose_is_said_where_there_is_no_estimate_too():
    silent = section(number(None, reason="no replies"), number(None, reason="no replies"))
    found = verdict(estimates({"user": silent}, constant=-0.4))["shifts"]["user"]
    assert found["finding"] == "open"
    assert found["beside"][-1] == "One constant reply to everybody there would lose +0.20."


def test_a_share_of_swapped_replies_is_said_of_what_tells_less_alone():
    more = section(number(0.3, 0.1, 0.5), number(0.2, 0.1, 0.3), -1.27)
    assert "swapped" not in verdict(estimates({"user": more}, reference=more))["sentences"][1]
    odd = section(number(0.3, 0.1, 0.5), number(0.2, 0.1, 0.3), 1.27)
    assert "swapped" not in verdict(estimates({"user": odd}, reference=odd))["sentences"][1]
    lost = section(number(0.3, 0.1, 0.5), number(0.2, 0.1, 0.3), share=number(-0.05, -0.3, 0.2))
    assert "meant for somebody else" not in verdict(estimates({"user": lost}))["shifts"]["user"]["sentence"]
    lost = section(number(0.3, 0.1, 0.5), number(0.2, 0.1, 0.3), share=number(1.7, 0.3, 3.1, validated=False))
    told = verdict(estimates({"user": lost}))["shifts"]["user"]["sentence"]
    assert told.endswith("as if 170% (30% to 310%, not validated) more of the replies had been meant for somebody else.")


def test_lineages_needed_are_those_of_a_category_and_not_all_that_there_are():
    of_shift = section(number(0.0, -0.2, 0.2), number(0.01, -0.14, 0.16, clusters=96, smallest_loss=0.22))
    found = verdict(estimates({"user": of_shift}, constant=-0.32))
    assert found["shifts"]["user"]["constant"]["lineages"] == 54


def test_a_shifted_category_that_others_are_compared_with_is_not_called_familiar():
    given = estimates({"user": section(number(0.0, -0.2, 0.2), number(0.0, -0.2, 0.2))})
    given["categories"]["IDTest"]["shift"] = "tone"
    assert verdict(given)["sentences"][1].startswith("On IDTest, with which others are compared, its replies tell 0.20")


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (0.95, "94 to 98% of these 95% intervals held the truth."),
        (0.8, "95% intervals were too wide, if anything."),
    ],
)
def test_of_folds_of_few_lineages_it_is_said_what_simulations_say_of_their_level(level, told):
    folded = number(0.2, 0.1, 0.3, validated=False)
    folded["interval"] |= {"cautious": True, "level": level}
    assert verdict(estimates({"user": section(folded, folded)}))["sentences"][-1].endswith(told)


def test_what_is_not_validated_is_open_and_says_why():
    few = number(0.3, 0.1, 0.5, validated=False, clusters=8)
    found = verdict(estimates({"user": section(few, few), "tone": section(few, number(None, reason="no golden replies"))}))
    assert found["sentences"][0] == "On this benchmark, by this estimator: nothing can be said of user and tone shift."
    assert found["shifts"]["user"]["sentence"] == (
        "User shift: open, since its interval is not validated for so few lineages in a category or fold."
    )
    few["interval"]["kinds"] = {"user": 8, "character": 12}
    assert (
        "intervals over clusters of several kinds are not validated."
        in verdict(estimates({"user": section(few, few)}))["sentences"][-1]
    )
    assert found["shifts"]["tone"]["sentence"] == "Tone shift: open, since no golden replies."


def test_without_a_headline_there_is_no_answer():
    found = verdict({"headline": {"shifts": None, "reason": "no golden replies", "scorer": "reasoned"}})
    assert found == {"quantity": None, "sentences": ["No answer: no golden replies."], "beside": [], "shifts": {}}
