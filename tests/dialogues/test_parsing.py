import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remid_jax.dialogues.parsing import MARKER, core_features, reply_text, thinking_text, thought_reply

CASES = {
    "a fenced block": (f"Thus.\n```\n{MARKER}\n- a\n- b\n```\nDone.", "- a\n- b", False),
    "the marker as the fence's info string": (f"```{MARKER}\n- a\n```", "- a", False),
    "an info string before the marker": (f"```markdown\n{MARKER}\n- a\n```", "- a", False),
    "a longer fence": (f"````\n{MARKER}\n- a\n````", "- a", False),
    "the last of two blocks with the marker": (f"```\n{MARKER}\nfirst\n```\n```\n{MARKER}\nsecond\n```", "second", False),
    "a later block without the marker": (f"```\n{MARKER}\n- a\n```\n```\ncode\n```", "- a", False),
    "an earlier block without the marker": (f"```\ncode\n```\n```\n{MARKER}\n- a\n```", "- a", False),
    "cut at the token limit": (f"Thus.\n```\n{MARKER}\n- a\n- b and", "- a\n- b and", False),
    "cut inside the closing fence": (f"```\n{MARKER}\n- a\n``", "- a\n``", False),
    "closed on the line of the text": (f"```\n{MARKER}\n- a```", "- a", False),
    "a block with the marker alone": (f"```\n{MARKER}\n```\n- a\n- b", "- a\n- b", True),
    "a full block before one with the marker alone": (f"```\n{MARKER}\n- a\n```\n```\n{MARKER}\n```", "- a", False),
    "the marker without a fence": (f"Thus.\n{MARKER}\n- a", "- a", True),
    "the marker mentioned, then alone": (f"I end with {MARKER}.\n{MARKER}\n- a", "- a", True),
    "the marker before a fenced list": (f"{MARKER}\n```\n- a\n```", "- a", True),
    "code in the block": (
        f"```\n{MARKER}\nSay:\n```python\nprint(1)\n```\nand be kind.\n```\nDone.",
        "Say:\n```python\nprint(1)\n```\nand be kind.",
        False,
    ),
    "code in a block that is cut off": (f"```\n{MARKER}\nSay:\n```python\nprint(1)", "Say:\n```python\nprint(1)", False),
    "a shorter fence in the block": (f"````\n{MARKER}\n```\n1\n```\nb\n````\nDone.", "```\n1\n```\nb", False),
    "a full block before code": (f"```\n{MARKER}\n- a\n```\n```python\ncode\n```", "- a", False),
    "code before a full block": (f"```python\ncode\n```\n```\n{MARKER}\n- a\n```", "- a", False),
    "no marker": ("Thus.\n```\n- a\n```", "", True),
    "the marker last": (f"Thus. {MARKER}", "", True),
    "nothing": ("", "", True),
}


@pytest.mark.parametrize("name", CASES)
def test_core_features(name):
    reasoning, text, fallback = CASES[name]
    assert core_features(reasoning) == (text, fallback)


def test_whole_text_is_kept_only_where_there_is_no_marker():
    assert core_features(" Thus.\n", fallback="whole_text") == ("Thus.", True)
    for reasoning, text, fallback in CASES.values():
        if MARKER in reasoning:
            assert core_features(reasoning, fallback="whole_text") == (text, fallback)


prose = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="`")).filter(lambda s: MARKER not in s)


@given(prose, prose.filter(str.strip), prose)
def test_a_block_is_found_whatever_stands_around_it(before, features, after):
    assert core_features(f"{before}```\n{MARKER}\n{features}\n```{after}") == (features.strip(), False)


@given(prose, prose.filter(str.strip))
def test_a_block_that_generation_cut_off_is_found(before, features):
    assert core_features(f"{before}```\n{MARKER}\n{features}") == (features.strip(), False)


@given(
    prose,
    st.lists(
        st.tuples(prose.filter(str.strip), st.sampled_from(["python", "c++", "text", "js"]), prose), min_size=1, max_size=4
    ),
    prose.filter(str.strip),
    prose,
)
def test_nothing_of_a_block_with_code_in_it_is_lost(before, pieces, last, after):
    features = "".join(f"{text}\n```{language}\n{code}\n```\n" for text, language, code in pieces) + last
    whole = f"{before}```\n{MARKER}\n{features}\n```\n{after}"
    assert core_features(whole) == (features.strip(), False)


@given(st.text())
def test_any_text_can_be_parsed(text):
    assert core_features(text, fallback="whole_text").text in text.strip() or "```" in text
    assert reply_text(text) in text


@pytest.mark.parametrize(
    ("generated", "reply"),
    [
        (" Ho. \n", "Ho."),
        ("<Agent Response>Ho.</Agent Response>", "Ho."),
        ("Let me think.\n<Agent Response>\nHo.\n</Agent Response>\nUser: Why?", "Ho."),
        ("<Agent Response>Ho, and", "Ho, and"),
        ("Ho.</Agent Response> more", "Ho."),
        ("<Agent Response>a</Agent Response><Agent Response>b</Agent Response>", "a"),
        ("## Agent Response\nHo.", "Ho."),
        ("<Agent Response>\n## Agent Response\nHo.</Agent Response>", "Ho."),
        ("Ho.\n## Agent Response\nnot a header", "Ho.\n## Agent Response\nnot a header"),
        ("", ""),
    ],
)
def test_reply_text(generated, reply):
    assert reply_text(generated) == reply


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ("so\n<Agent Response>\nHi.\n</Agent Response> and so on", ("Hi.", True)),
        ("<Agent Response>Hi", ("Hi", False)),
        ("all of it is reasoning", ("", False)),
        ("no opening\n</Agent Response>", ("", True)),
        ("a <Agent Response> b\n<Agent Response>\n## Agent Response\nHi.\n</Agent Response>", ("Hi.", True)),
    ],
)
def test_a_thinking_policys_reply_is_what_stands_between_the_tags(generated, expected):
    assert thought_reply(generated) == expected


@given(st.text(), st.text())
def test_a_thinking_policys_text_is_read_as_it_was_put_together(reasoning, reply):
    tags = ("<Agent Response>", "</Agent Response>")
    assume(not any(tag in text for tag in tags for text in (reasoning, reply)))
    assert thought_reply(thinking_text(reasoning, reply)) == (reply_text(reply), True)
