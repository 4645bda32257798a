import pytest
from shared_data import load_shared_records

from remid_jax.dialogues.languages import language_share

SENTENCES = {
    "English": "My grandmother kept her letters in a biscuit tin.",
    "German": "Meine Großmutter bewahrte ihre Briefe in einer Keksdose auf.",
    "Spanish": "Mi abuela guardaba sus cartas en una lata de galletas.",
    "Chinese": "我奶奶把信都放在饼干盒里。",
    "Japanese": "祖母は手紙をクッキーの缶にしまっていました。",
    "Korean": "할머니는 편지를 과자 통에 넣어 두셨어요.",
}


def test_the_six_languages_are_told_apart():
    for language in SENTENCES:
        found = language_share(list(SENTENCES.values()), language)
        assert found == (1 / 6, list(SENTENCES))


def test_a_text_without_words_is_undetectable_and_counts_as_other():
    assert language_share(["123 !", "", SENTENCES["German"], SENTENCES["English"]], "German") == (
        0.25, [None, None, "German", "English"],
    )  # fmt: skip


def test_no_texts_have_no_share():
    assert language_share([], "German") == (None, [])


def test_a_seventh_language_is_refused():
    with pytest.raises(ValueError, match="Klingon"):
        language_share([], "Klingon")


@pytest.mark.parametrize(("lang", "language"), [("en", "English"), ("zh", "Chinese"), ("ja", "Japanese"), ("ko", "Korean")])
def test_real_replies_are_in_their_language(lang, language):
    dialogues = [record.dialogue_text.replace("User:", "").replace("Agent:", "") for record in load_shared_records(lang)[:60]]
    assert language_share(dialogues, language).share == 1.0
