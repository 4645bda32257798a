import pytest

from remid_jax.dialogues.names import fill_names, in_texts, wants_character


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{char}} meets {{user}}.", "Bo meets Ana."),
        ("{{ CHAR }} and {{User}}, <bot> and <USER>", "Bo and Ana, Bo and Ana"),
        ("{char} {{chars}} < USER > {{", "{char} {{chars}} < USER > {{"),
        ("", ""),
    ],
)
def test_names_are_filled_in(text, filled):
    assert fill_names(text, "Bo", "Ana") == filled


def test_who_has_no_name():
    assert fill_names("{{char}}: hello {{user}}", "", "") == "{{char}}: hello User"
    assert wants_character("hello <Bot>")
    assert not wants_character("hello {{user}}")


def test_a_name_is_not_looked_into():
    assert fill_names("{{user}}, {{char}}", r"\1 {{user}}", r"\g<0>") == r"\g<0>, \1 {{user}}"


def test_every_text_of_a_value_but_no_key():
    value = {"a": ["x", {"x": "x", "n": 1}], "b": None, "c": True, "d": 0.5}
    assert in_texts(value, str.upper) == {"a": ["X", {"x": "X", "n": 1}], "b": None, "c": True, "d": 0.5}
