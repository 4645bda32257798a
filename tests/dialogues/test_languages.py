import pytest
from shared_data import load_shared_records

from remid_jax.dialogues import languages
from remid_jax.dialogues.languages import language_name, language_share, tag_named
from remid_jax.dialogues.manifest import RPGBENCH

SENTENCES = {
    "en": "My grandmother kept her letters in a biscuit tin.",
    "de": "Meine Großmutter bewahrte ihre Briefe in einer Keksdose auf.",
    "es": "Mi abuela guardaba sus cartas en una lata de galletas.",
    "zh": "我奶奶把信都放在饼干盒里。",
    "ja": "祖母は手紙をクッキーの缶にしまっていました。",
    "ko": "할머니는 편지를 과자 통에 넣어 두셨어요.",
}
NAMES = ["English", "German", "Spanish", "Chinese", "Japanese", "Korean"]
FRENCH = "Ma grand-mère gardait ses lettres dans une boîte à biscuits."
ARABIC = "كانت جدتي تحتفظ برسائلها في علبة بسكويت."


def test_the_six_languages_are_told_apart():
    for language in SENTENCES:
        assert language_share(list(SENTENCES.values()), language, RPGBENCH.languages) == (1 / 6, NAMES, None)


def test_a_text_without_words_is_undetectable_and_counts_as_other():
    texts = ["123 !", "", SENTENCES["de"], SENTENCES["en"]]
    assert language_share(texts, "de", RPGBENCH.languages) == (0.25, [None, None, "German", "English"], None)


def test_any_language_that_lingua_knows():
    texts = [FRENCH, ARABIC, ARABIC, SENTENCES["en"]]
    assert language_share(texts, "ar", ("fr", "ar-EG", "en")) == (0.5, ["French", "Arabic", "Arabic", "English"], None)


def test_fewer_than_two_languages_are_told_from_the_common_ones():
    """As lingua tells them apart among all its languages, which takes 15 seconds."""
    texts = {
        "English": SENTENCES["en"], "German": SENTENCES["de"], "Spanish": SENTENCES["es"], "Chinese": SENTENCES["zh"],
        "Japanese": SENTENCES["ja"], "Korean": SENTENCES["ko"], "French": FRENCH, "Arabic": ARABIC,
        "Portuguese": "Minha avó guardava as suas cartas numa lata de biscoitos.",
        "Italian": "Mia nonna teneva le sue lettere in una scatola di biscotti.",
        "Russian": "Моя бабушка хранила свои письма в коробке из-под печенья.",
        "Hindi": "मेरी दादी अपने पत्र बिस्कुट के डिब्बे में रखती थीं।",
        "Polish": "Moja babcia trzymała swoje listy w puszce po ciastkach.",
        "Dutch": "Mijn grootmoeder bewaarde haar brieven in een koektrommel.",
        "Turkish": "Büyükannem mektuplarını bir bisküvi kutusunda saklardı.",
        "Vietnamese": "Bà tôi cất những lá thư trong một hộp bánh quy.",
        "Indonesian": "Nenek saya menyimpan surat-suratnya di dalam kaleng biskuit.",
    }  # fmt: skip
    expected = (1 / 17, list(texts), None)
    for among in ((), ("fr",), ("fr-CA", "am", "x-elvish")):
        assert language_share(list(texts.values()), "fr-CA", among) == expected
    languages._detector.cache_clear()


def test_a_language_that_is_not_common_is_told_from_those_that_are():
    norwegian = "Bestemoren min oppbevarte brevene sine i en kakeboks."
    assert language_share([norwegian, SENTENCES["en"], FRENCH], "no", ()) == (1 / 3, ["Bokmal", "English", "French"], None)
    languages._detector.cache_clear()


def test_script_and_region_are_not_told_apart():
    assert language_share([SENTENCES["zh"], SENTENCES["en"]], "zh-Hant", ("zh-Hans", "en")).share == 0.5
    norwegian = "Bestemoren min oppbevarte brevene sine i en kakeboks."
    assert language_share([norwegian, SENTENCES["en"]], "no", ("no", "en")) == (0.5, ["Bokmal", "English"], None)


def test_where_there_is_no_share_the_reason_is_told():
    assert language_share([], "de", RPGBENCH.languages) == (None, [], "there are no texts")
    assert language_share([FRENCH], None, ("fr", "en")) == (None, [], "the category has no language")
    assert language_share([FRENCH], "am", ("fr", "am")) == (None, [], "'am' is no language that lingua detects")


def test_names():
    assert [language_name(tag) for tag in RPGBENCH.languages] == NAMES
    assert [language_name(tag) for tag in ("zh-Hans", "de-AT", "fil", "haw", "x-elvish")] == [
        "Chinese", "German", "Tagalog", "haw", "x-elvish",
    ]  # fmt: skip
    assert [tag_named(name) for name in ("german", "Arabic", "Klingon")] == ["de", "ar", None]


@pytest.mark.parametrize("language", ["en", "zh", "ja", "ko"])
def test_real_replies_are_in_their_language(language):
    dialogues = [r.dialogue_text.replace("User:", "").replace("Agent:", "") for r in load_shared_records(language)[:60]]
    assert language_share(dialogues, language, RPGBENCH.languages).share == 1.0
