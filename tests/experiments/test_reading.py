"""The day that chat templates write is the run's first, on whatever day it goes on; settings of templates are checked."""

import datetime
import json

import pytest
from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model
from remid_jax.roles import reading

TEMPLATE = (
    "<|im_start|>system\nToday is {{ strftime_now('%d %b %Y') }}.<|im_end|>\n{% for m in messages %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def on(monkeypatch):
    """on(2026, 11, 28): from now on this is today."""

    def on(*day):
        class Clock(datetime.date):
            @classmethod
            def today(cls):
                return datetime.date(*day)

        monkeypatch.setattr(reading.datetime, "date", Clock)

    return on


def settings(**values):
    return ConfigDict({"control_tokens": "text", "date": None} | values)


def test_a_run_keeps_its_first_day(on, tmp_path):
    on(2026, 11, 28)
    assert reading.reading_of(settings(), tmp_path)["date"].isoformat() == "2026-11-28"
    on(2026, 11, 29)
    assert reading.reading_of(settings(), tmp_path)["date"].isoformat() == "2026-11-28"
    assert reading.reading_of(settings(date="2024-07-04"), tmp_path)["date"].isoformat() == "2024-07-04"
    assert (tmp_path / "day.txt").read_text() == "2026-11-28\n"  # a day that is given is not the run's first
    with pytest.raises(UserError, match=r"^config\.date: '4 July' is no date: write it as 2026-01-31$"):
        reading.reading_of(settings(date="4 July"), tmp_path)
    (tmp_path / "day.txt").write_text("yesterday")
    with pytest.raises(UserError, match=r"day\.txt: 'yesterday' is no date"):
        reading.reading_of(settings(), tmp_path)


def test_scores_made_again_tomorrow_are_equal_and_another_day_has_its_own(call, on, tiny_directory, tmp_path):
    model = open_model(str(tiny_directory), "float32")
    model.tokenizer._library.chat_template = TEMPLATE
    save_model(tmp_path / "dated", model.config, model.params, model.tokenizer)
    line = {"id": 1, "messages": [{"role": "user", "content": "Hello"}], "answers": [" friend"]}
    (tmp_path / "in.jsonl").write_text(json.dumps(line))

    def score(name, workdir="work", **values):
        call("score", {"model": str(tmp_path / "dated"), "input": "in.jsonl", "output": name} | values, workdir)
        return (tmp_path / name).read_text()

    on(2026, 11, 28)
    today = score("today.jsonl")
    on(2026, 11, 29)
    assert score("tomorrow.jsonl") == today
    assert score("elsewhere.jsonl", "other") != today
    assert score("given.jsonl", "other", date="2026-11-28") == today


@pytest.mark.parametrize("text", ["[]", "thinking", "{'a': 1}", "1"])
def test_settings_of_a_template_are_an_object(text):
    assert reading.template_settings('{"enable_thinking": true}', "config.template") == {"enable_thinking": True}
    assert reading.template_settings(None, "config.template") == reading.template_settings("", "config.template") == {}
    with pytest.raises(UserError, match=r"^config\.template=.*: must be a JSON object, for example"):
        reading.template_settings(text, "config.template")


def test_words_for_thinking():
    words = {"no": "no", "False": "no", "tags": "tags", "True": "tags", "native": "native"}
    assert {word: reading.thinking_of(word) for word in words} == words
    assert (reading.thinking_of(True), reading.thinking_of(False)) == ("tags", "no")
