"""The answer in words, sentence by sentence, from numbers written by hand."""

import pytest

from remid_jax.information.verdict import finding, verdict


def number(value, low=None, high=None, validated=True, clusters=16, **more):
    bounds = None if value is None else {"low": low, "high": high, "level": 0.95, "clusters": clusters, "validated": validated}
    return {"value": value, "interval": bounds, **more}


def tree(of):
    return {"club": {"token_rate": of}}


def section(whole, novel, misplaced=None):
    """A shift's or category's estimates: EMID of whole replies and of what is novel in them."""
    placed = {"novel": number(misplaced, 0, 1), "whole": number(misplaced, 0, 1)}
    of_term = {"emi": tree(whole), "emid": tree(whole)}
    by_source = {term: {"novel": tree(novel)} for term in ("emi", "emid")}
    return {"reasoned": of_term | {"by_source": by_source, "misplaced_equivalent": {"emi": placed, "emid": placed}}}


def estimates(shifts, reference=None, echoed=0.0):
    shares = {"echo": number(0.0), "long_quote": number(0.0)}
    copied = {"golden": shares, "policy": {**shares, "echo": number(echoed)}}
    id_section = section(number(-0.1, -0.3, 0.1), number(-0.2, -0.3, -0.1), 0.4) if reference is None else reference
    return {
        "headline": {"shifts": {}, "scorer": "reasoned"},
        "shifts": shifts,
        "categories": {
            "IDTest": {"reference": None, "copied": copied, **id_section},
            "german": {"reference": "IDTest", "copied": copied},
        },
    }


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
        "On this benchmark, by this estimator: user shift costs this policy something; under dialogue shift its replies fit "
        "better than in familiar conditions; no loss is shown under character shift.",
        "In familiar conditions (IDTest) its replies tell -0.20 (-0.30, -0.10) nats a token of novel information against "
        "golden ones, as if 40% of them had been meant for somebody else.",
        "26% of the policy's tokens there repeat its own context (0% of the golden ones), which figures of "
        "whole replies praise.",
        "User shift costs +0.31 (+0.12, +0.50) nats a token of novel information, as if 23% more of the replies had been meant "
        "for somebody else. Of whole replies, copies among them, the loss is -0.40 (-0.90, +0.10).",
        "Character shift: no loss is shown, +0.01 (-0.14, +0.16) nats a token of novel information; a loss above 0.16 is "
        "excluded at 95%, and one of 0.22 would be found in four of five such runs. Of whole replies, copies among them, "
        "the loss is +0.02 (-0.20, +0.24).",
        "Dialogue shift: the loss is -0.12 (-0.20, -0.04) nats a token of novel information, so replies tell more. Of whole "
        "replies, copies among them, the loss is -0.10 (-0.20, +0.00).",
    ]


def test_what_is_not_validated_is_open_and_says_why():
    few = number(0.3, 0.1, 0.5, validated=False, clusters=8)
    found = verdict(estimates({"user": section(few, few), "tone": section(few, number(None, reason="no golden replies"))}))
    assert found["sentences"][0] == "On this benchmark, by this estimator: nothing can be said of user and tone shift."
    assert found["shifts"]["user"]["sentence"].startswith(
        "User shift: open, since 8 lineages are fewer than its interval was validated for. Of whole replies"
    )
    assert found["shifts"]["tone"]["sentence"].startswith("Tone shift: open, since no golden replies.")


def test_without_a_headline_there_is_no_answer():
    found = verdict({"headline": {"shifts": None, "reason": "no golden replies", "scorer": "reasoned"}})
    assert found == {"quantity": None, "sentences": ["No answer: no golden replies."], "shifts": {}}
