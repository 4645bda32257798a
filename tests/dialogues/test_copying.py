"""What a reply copies from its context, against a search by hand over all runs."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.dialogues.copying import ECHO, LONG_QUOTE, OWN, SHORT_QUOTE, character_sources, units
from remid_jax.dialogues.records import Record, Turn

LETTERS = {ECHO: "e", LONG_QUOTE: "q", SHORT_QUOTE: "s", OWN: "."}


def record(dialogue="", persona="", character=""):
    turns = (Turn("user", dialogue),)
    return Record("r", persona, {"background": character}, turns, "golden", "IDTest")


def marked(reply, **context):
    return "".join(LETTERS[int(source)] for source in character_sources(reply, record(**context))[:-1])


def of_the_end(reply, **context):
    return LETTERS[int(character_sources(reply, record(**context))[-1])]


def test_four_words_of_the_dialogue_are_an_echo_and_three_are_not():
    context = {"dialogue": "I knit lace shawls from charts all day."}
    assert marked("You knit lace shawls from charts.", **context) == "...." + "e" * 29
    assert marked("You knit lace shawls.", **context) == "." * 21


def test_case_and_punctuation_do_not_count_and_what_hangs_on_a_run_belongs_to_it():
    context = {"dialogue": "Don’t STOP - the music, please!"}
    assert marked("Well: don't stop the Music?! No.", **context) == "......" + "e" * 22 + "...."
    assert marked('"Don\'t stop the music"', **context) == "e" * 22


def test_profiles_are_quoted_and_eight_words_are_a_long_quote():
    persona = "She asks short practical questions and likes comparisons drawn from her own craft."
    long = "short practical questions and likes comparisons drawn from"
    assert marked(f"Ah {long} me", persona=persona) == "..." + "q" * len(long) + "..."
    short = "likes comparisons drawn from her own craft"
    assert marked(f"Ah {short}", persona=persona) == "..." + "s" * len(short)


def test_the_character_is_a_profile_and_an_echo_goes_before_a_quote():
    words = "one two three four five six seven eight"
    assert marked(words, character=words) == "q" * len(words)
    assert marked(words, character=words, dialogue="then two three four five came") == (
        "qqqq" + "e" * len("two three four five") + "q" * len(" six seven eight")
    )


def test_a_run_stands_in_one_turn_and_one_line_of_a_profile():
    assert marked("one two three four", dialogue="one two", persona="three four") == "." * 18
    split = Record("r", "one two", {"a": "three", "b": "four"}, (Turn("user", "x"),), "golden", "IDTest")
    assert set(character_sources("one two three four", split).tolist()) == {OWN}


@pytest.mark.parametrize(
    ("said", "context", "expected"),
    [
        ("那你一针一线地绣吧", "我一针一线地绣花，外婆笑我", "........."),  # 6 characters are too few
        ("你跟外婆学苗绣挑花吗", "石阿朵跟外婆学苗绣挑花很久", ".eeeeeeee."),  # 8
        ("コードを書くのが怖いです", "数学のコードを書くのが怖い人", "eeeeeeeeee.."),
        ("ฉันชอบอ่านหนังสือ", "เขาบอกว่าฉันชอบอ่านหนังสือมาก", "eeeeeeeeeeeeeeeee"),
    ],
)
def test_a_character_of_a_script_without_spaces_weighs_half_a_word(said, context, expected):
    assert marked(said, dialogue=context) == expected


def test_korean_is_written_with_spaces_so_its_words_count():
    context = "저는 화문석을 짜고 수학이 무섭다고 했어요"
    assert marked("화문석을 짜고 수학이 무섭다고", dialogue=context) == "e" * 16
    assert marked("화문석을 짜고 수학이", dialogue=context) == "." * 11


def test_words_and_characters_of_two_scripts_make_one_run():
    assert marked("用 Python 写 代码吧啊", dialogue="我用 Python 写代码吧啊 ok") == "e" * 15  # 2 + 6 x 1: eight
    assert marked("用 Python 写代", dialogue="我用 Python 写代码") == "." * 11


@pytest.mark.parametrize(
    "words",
    [
        ["वह", "विश्वविद्यालय", "में", "हिन्दी", "पढ़ता", "है"],
        ["আমি", "প্রতিদিন", "বিশ্ববিদ্যালয়ে", "বাংলা", "পড়ি"],
        ["ශ්\u200dරී", "ලංකා"],  # a joiner makes one letter of two
        ["l'été", "à", "l'école", "más", "naïf"],
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_word_goes_on_over_vowel_signs_and_accents(words, form):
    text = unicodedata.normalize(form, " ".join(words))
    found = list(units(f"«{text}»"))
    assert [unit.folded for unit in found] == [unicodedata.normalize("NFKC", word) for word in words]
    assert [text[unit.start - 1 : unit.end - 1] for unit in found] == text.split()
    assert {unit.weight for unit in found} == {2}


def test_one_long_word_of_hindi_is_no_run_and_four_are():
    assert set(marked("वह विश्वविद्यालय कहाँ है?", dialogue="मैं विश्वविद्यालय गया")) == {"."}
    run = "विश्वविद्यालय में हिन्दी पढ़ता"
    assert marked(f"मैं {run} था", dialogue=f"वह {run} है") == "...." + "e" * len(run) + "..."


def test_accents_may_be_characters_of_their_own_in_the_reply_alone():
    for text, run in (("à l'école en été déjà", 21), ("ガードがぶどうだ", 8)):
        apart = unicodedata.normalize("NFD", text)
        assert (len(text), marked(apart, dialogue=text)) == (run, "e" * len(apart))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("I knit lace shawls all day.", "e"),
        ("Well, you knit lace shawls all day!", "e"),  # the run goes on to where the turn ends
        ("I knit lace shawls all", "."),  # the turn goes on
        ("So all day.", "."),  # two words and an end are no run
        ("I knit lace shawls all day. Do you?", "."),
    ],
)
def test_an_end_is_copied_where_the_copied_turn_ends(said, expected):
    assert of_the_end(said, dialogue="I knit lace shawls all day.") == expected


def test_an_end_may_be_that_of_a_line_of_a_profile():
    assert of_the_end("She knits lace shawls", persona="She knits lace shawls.") == "s"
    words = "one two three four five six seven eight"
    assert of_the_end(words, character=words) == "q"
    assert of_the_end("", dialogue="I knit lace shawls all day.") == "."


def by_hand(reply, text):
    """The units of a reply that lie in a run of four words of the text, by trying every pair of places; after the last one,
    its end, where a run goes to both ends."""
    said, source = re.findall(r"\w+", reply.lower()), re.findall(r"\w+", text.lower())
    copied = set()
    for i in range(len(said)):
        for j in range(len(source)):
            length = 0
            while i + length < len(said) and j + length < len(source) and said[i + length] == source[j + length]:
                length += 1
            if length >= 4:
                copied |= set(range(i, i + length))
                if i + length == len(said) and j + length == len(source):
                    copied.add(len(said))
    return copied


@given(st.lists(st.sampled_from("abc"), max_size=14), st.lists(st.sampled_from("abc"), max_size=30))
def test_every_run_is_found(said, source):
    reply, text = " ".join(said), " ".join(source)
    sources = character_sources(reply, record(dialogue=text))
    places = [*(unit.start for unit in units(reply)), len(reply)]
    assert {place for place, start in enumerate(places) if sources[start] == ECHO} == by_hand(reply, text)


def test_a_reply_that_is_the_turn_is_all_echo_and_an_empty_one_is_nothing():
    turn = "¿Así que usted dibujó «eso» ayer, de verdad?"
    assert set(marked(turn, dialogue=turn)) == {"e"}
    assert len(character_sources("", record(dialogue=turn))) == 1
    assert np.all(character_sources("?! ...", record(dialogue=turn)) == OWN)
