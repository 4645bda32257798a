"""Any text at all becomes the ids of transformers, and nobody's text writes a control token."""

import functools

import pytest
from conformance import tokenizer_folders, weight_files
from conformance.comparison import Truth, compare_texts
from conformance.templates import CHATML, Template
from conformance.texts import TEXTS
from conformance.tokenizer_folders import TOKENIZERS
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from remid_jax.models.tokenizer import Tokenizer

SOME = (
    "gpt2, prefix space",
    "qwen2",
    "llama3",
    "tokens that strip",
    "llama2, legacy",
    "metaspace first, split",
    "gemma",
    "unigram",
)
TEXT = st.one_of(st.text(max_size=24), st.lists(st.sampled_from(TEXTS), min_size=2, max_size=3).map("".join))


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens a tokenizer of the table, with ChatML, by us and by transformers."""

    @functools.cache
    def opened(name):
        folder = tmp_path_factory.mktemp("tokenizer")
        tokenizer_folders.write(folder, {**TOKENIZERS[name](), "chat_template.jinja": CHATML})
        weight_files.write_config(folder, "llama")
        return Tokenizer.from_directory(folder), Truth(folder)

    return opened


@pytest.mark.parametrize("name", SOME)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(text=TEXT)
def test_any_text_has_the_ids_of_transformers(name, opened, text):
    ours, truth = opened(name)
    assume(name != "unigram" or truth.settled(text))
    assert compare_texts(ours, truth, Template(CHATML), [text]).differences == []


@pytest.mark.parametrize("name", SOME)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(text=TEXT)
def test_no_text_writes_a_control_token(name, opened, text):
    ours, truth = opened(name)
    controls = {i for i, token in truth.auto.added_tokens_decoder.items() if token.special} - {truth.auto.unk_token_id}
    assert controls.isdisjoint(ours.encode(text))
    empty, full = (ours.encode_chat([{"role": "user", "content": content}]) for content in ("", text))
    assert [i for i in full if i in controls] == [i for i in empty if i in controls]
