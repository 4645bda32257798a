"""Thoughts are told from speech, whatever a model's tags are, wherever they stand, and whether or not they were closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.dialogues.thoughts import opened_thought, split_thoughts, thought_tags

THINK = thought_tags(None)


@pytest.mark.parametrize(
    ("generated", "opened", "said", "thoughts", "ended"),
    [
        ("Hello.", "", "Hello.", "", True),
        ("<think>\nplan\n</think>\n\nHello.", "", "Hello.", "plan", True),
        ("<think>\n\n</think>\n\nHello.", "", "Hello.", "", True),
        ("<think>\nplan that never ends", "", "", "plan that never ends", False),
        ("plan\n</think>\n\nHello.", "<think>", "Hello.", "plan", True),
        ("plan that never ends", "<think>", "", "plan that never ends", False),
        ("plan\n</think>\n\nHello.", "", "Hello.", "plan", True),  # the template had opened it, and did not say so
        ("<think>a</think>Hello<think>b</think> you.", "", "Hello you.", "ab", True),
        ("Hello. <think>wait", "", "Hello.", "wait", False),
        ("<think>a <think> b</think> Hello.", "", "Hello.", "a <think> b", True),
        ("", "", "", "", True),
        ("", "<think>", "", "", False),
        ("</think>", "<think>", "", "", True),
    ],
)
def test_what_is_said_and_what_is_thought(generated, opened, said, thoughts, ended):
    assert split_thoughts(generated, THINK, opened) == (said, thoughts, ended)


@pytest.mark.parametrize(
    ("template", "pair"),
    [
        ("{{ content.split('</think>')[-1] }}", ("<think>", "</think>")),
        ("{{ '<thought>' }}{{ x }}{{ '</thought>' }}", ("<thought>", "</thought>")),
        ("<seed:think>{{ x }}</seed:think>", ("<seed:think>", "</seed:think>")),
        ("{{ '[THINK]' + x + '[/THINK]' }}", ("[THINK]", "[/THINK]")),
        ("<|START_THINKING|>{{ x }}<|END_THINKING|>", ("<|START_THINKING|>", "<|END_THINKING|>")),
        ("<|begin_of_thought|>{{ x }}<|end_of_thought|>", ("<|begin_of_thought|>", "<|end_of_thought|>")),
        ("<reasoning>{{ x }}</reasoning>", ("<reasoning>", "</reasoning>")),
    ],
)
def test_a_template_declares_its_tags(template, pair):
    tags = thought_tags(template)
    assert pair in tags
    opening, closing = pair
    assert split_thoughts(f"{opening} plan {closing} Hello.", tags) == ("Hello.", "plan", True)
    assert opened_thought(f"<|assistant|>{opening}\n", tags) == opening
    assert opened_thought(f"<|assistant|>{opening}\n\n{closing}\n\n", tags) == ""


def test_tags_that_no_template_declares_are_words():
    assert thought_tags("{{ '</think_about_it' }} <reason> </other>") == (("<think>", "</think>"),)
    assert split_thoughts("<b>I think</b> [THINK] so", THINK) == ("<b>I think</b> [THINK] so", "", True)


WORDS = st.text(st.sampled_from("ab <>/\n"), max_size=6).filter(lambda text: "think" not in text)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=4), WORDS)
def test_nothing_is_lost_and_nothing_changes_sides(turns, last):
    """Texts that are built of speech and thoughts come apart into them."""
    generated = "".join(f"{said}<think>{thought}</think>" for said, thought in turns) + last
    spoken = split_thoughts(generated, THINK)
    assert spoken.said == ("".join(said for said, _ in turns) + last).strip()
    assert spoken.thoughts == "".join(thought for _, thought in turns).strip()
    assert spoken.ended
