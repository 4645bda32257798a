"""Answers are read leniently and completely, asked for again where they do not fit, and counted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal import refusal

from remid_jax.construction.answers import (
    Answered,
    Failure,
    Question,
    Questioner,
    Tally,
    Text,
    Unfit,
    check_language,
    object_in,
    tagged_in,
)
from remid_jax.endpoints.canned import Canned
from remid_jax.endpoints.chat import Sampling
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Recorded, Unanswered
from remid_jax.progress import Silent
from remid_jax.scoring.store import Store


class Pair(Answered):
    name: Text
    words: list[Text]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda text: text.strip())
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="{}", exclude_categories=("Cs",)))


@given(TEXTS, st.lists(TEXTS), AROUND, AROUND, st.booleans(), st.sampled_from([None, 1]))
def test_an_object_is_found_whatever_stands_around_it(name, words, before, after, is_ascii, indent):
    text = json.dumps({"name": name, "words": words, "more": {"words": 1}}, ensure_ascii=is_ascii, indent=indent)
    made = object_in(before + text + after, Pair)
    assert (made.name, made.words) == (name.strip(), [word.strip() for word in words])


@pytest.mark.parametrize(
    "text",
    [
        'Here: ```json\n{"name": "a", "words": ["b", "c"]}\n``` Good luck {with} it!',
        '{"name": "a", "words": ["b", "c",],}',
        '{"thought": {"x": 1}} then {"name": " a ", "words": ["b", "c"], "note": null}',
        '{"name": "a", "words": ["b", "c"]} {"name": "z", "words": []}',
    ],
)
def test_the_first_object_of_the_form_counts(text):
    assert object_in(text, Pair) == Pair(name="a", words=["b", "c"])


def test_line_breaks_inside_texts_are_let_pass():
    assert object_in('{"name": "a\nb", "words": []}', Pair).name == "a\nb"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I would rather not.", "holds no JSON object"),
        ('{"name": "a", "words": ["b"', "holds no JSON object"),
        ('{"name": "a"}', "words: missing"),
        ('{"name": " ", "words": "b"}', "name: String should have at least 1 character; words: must be a list, not a text"),
        (
            '{"name": "\\ud800", "words": []}',
            "name: Input should be a valid string, unable to parse raw data as a unicode string",
        ),
        ("{" * 5000, "holds no JSON object"),
    ],
)
def test_what_is_wrong_is_said(text, why):
    with pytest.raises(Unfit) as unfit:
        object_in(text, Pair)
    assert str(unfit.value) == why


@pytest.mark.parametrize(
    "text",
    ["<persona>\nAda, 3.\n</persona> Good?", "Sure: <persona>Ada, 3.", "Sure:\n```\nAda, 3.\n```", "```text\nAda, 3.\n```"],
)
def test_a_tagged_text_is_found(text):
    assert tagged_in(text, "persona") == "Ada, 3."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Ada, 3.", "holds no <persona>"),
        ("<persona> </persona>", "<persona> is empty"),
        ("```\na\n```\n```\nb\n```", "holds no <persona>"),
    ],
)
def test_a_text_without_its_tags_does_not_fit(text, why):
    with pytest.raises(Unfit, match=f"^{why}$"):
        tagged_in(text, "persona")


def test_another_language_does_not_fit():
    check_language("Ich fahre morgen mit dem Zug nach Hause.", "de", ("de", "en", "es"))
    with pytest.raises(Unfit, match=r"^is in English, not in German$"):
        check_language("I am going home by train tomorrow.", "de", ("de", "en", "es"))
    check_language("Home, by train.", "de", ("de", "en", "es"))  # too short to tell


def questions(count):
    def read(text):
        if "bad" in text:
            raise Unfit("is bad")
        return text.upper()

    return [Question(f"q{n}", [{"role": "user", "content": f"question {n}"}], read) for n in range(count)]


def answering(answer, store=None, ledger=None):
    """(backend, endpoint) that says `answer(message, seed)`."""
    backend = Canned(lambda chat, draw: answer(chat.messages[0]["content"], chat.sampling.seed))
    return backend, Recorded("endpoint:canned", backend, store or Store(":memory:"), ledger or Ledger(), 1)


def ask(answer, count, tries=3, go_on=False, store=None, ledger=None):
    """(what was made, the tally, how often was asked) of questions to which `answer(number, seed)` is said."""
    tally = Tally()
    backend, endpoint = answering(lambda message, seed: answer(int(message.split()[-1]), seed), store, ledger)
    asker = Questioner(endpoint, Sampling(8, 1.0, seed=5), tries, go_on, tally, Silent())
    return asker.ask("stage", questions(count)), tally, sum(backend.asked.values())


def good(number, seed):
    return f"good {number}"


def test_what_does_not_fit_is_drawn_again_with_the_next_seed():
    made, tally, times = ask(lambda number, seed: f"{'bad' if seed - 5 < number else 'good'} {number} {seed}", 4)
    assert made == ["GOOD 0 5", "GOOD 1 6", "GOOD 2 7", None]
    assert tally.described() == {"stage": {"asked": 4, "again": 3 + 2, "fitting": 3, "failed": 1}}
    assert tally.failures == [Failure("stage", "q3", ("is bad",) * 3, "bad 3 7")]
    assert times == 4 + 3 + 2


def test_the_same_question_gets_another_answer_each_time():
    backend, endpoint = answering(lambda message, seed: f"{'bad' if seed % 3 else 'good'} {seed}")
    same = [Question(f"q{n}", [{"role": "user", "content": "Who?"}], questions(1)[0].read) for n in range(3)]
    made = Questioner(endpoint, Sampling(8, 1.0, seed=1), 3, False, Tally(), Silent()).ask("stage", same)
    assert made == ["GOOD 3", "GOOD 6", "GOOD 9"]  # draws 1 to 3, 4 to 6, 7 to 9
    assert len(backend.asked) == 9


def test_thoughts_are_not_read_and_must_end():
    made, tally, _ = ask(lambda number, seed: "<think>bad</think>good" if number else "<think>hm", 2, tries=1)
    assert made == [None, "GOOD"]
    assert tally.failures[0].why == ("its thoughts do not end",)


def test_where_it_may_not_go_on_an_endpoint_that_answers_no_more_ends_it_and_else_what_is_stored_counts():
    store = Store(":memory:")
    ask(good, 2, store=store)  # two answers of four tokens each, questions among them: a cap of five is reached
    said = (
        'endpoint:canned: its "cap_tokens" of 5 is reached: 8 used: what came is kept, raise it and run the same command again'
    )
    assert refusal(ask, good, 4, store=store, ledger=Ledger(cap_tokens=5)) == said
    made, tally, times = ask(good, 4, go_on=True, store=store, ledger=Ledger(cap_tokens=5))
    assert made == ["GOOD 0", "GOOD 1", None, None]
    assert times == 0
    assert tally.stopped == {"endpoint:canned": said}
    assert [failure.why for failure in tally.failures] == [("no answer: not asked any more",)] * 2


def test_half_a_character_can_be_listed():
    _, tally, _ = ask(lambda number, seed: "bad \ud800", 1, tries=1)
    assert tally.failures[0].said == "bad ?"


def test_an_answer_that_does_not_come_is_not_drawn_again():
    def answer(number, seed):
        if number == 1:
            raise Unanswered("it timed out")
        return "good"

    made, tally, times = ask(answer, 3)
    assert made == ["GOOD", None, "GOOD"]
    assert tally.failures == [Failure("stage", "q1", ("no answer: it timed out",), "")]
    assert times == 3
