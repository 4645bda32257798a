"""What a folder cannot do is said in one line; what templates leave open has the ids of the chat that they do take."""

import pytest
from conformance import variants
from conformance.comparison import Truth
from conformance.variants import Variant

from remid_jax.errors import Notice, UserError
from remid_jax.models.tokenizer import Tokenizer

USER, SYSTEM, ASSISTANT = (
    {"role": role, "content": content} for role, content in (("user", "Hello"), ("system", "Be brief."), ("assistant", "Hi."))
)


@pytest.fixture
def write(tmp_path):
    def write(template="ChatML", tokenizer="llama3", config="llama"):
        return variants.write(tmp_path, Variant(tokenizer, template, config, "one file"), weights=False)

    return write


@pytest.mark.parametrize(
    ("template", "messages", "words"),
    [
        ("none", [USER], "has no chat template: name an instruction-tuned model, or score raw prompts"),
        (
            "a list without a default",
            [USER],
            "has chat templates for tool_use alone, none for a plain chat: name an instruction-tuned model, or score raw "
            "prompts",
        ),
        (
            "Mistral",
            [ASSISTANT, USER],
            "its chat template refuses a chat of roles assistant, user (Conversation roles must alternate "
            "user/assistant/user/assistant/...): choose prompts that fit it",
        ),
        (
            "Mistral",
            [USER, {"role": "narrator", "content": "Night."}],
            "its chat template refuses a chat of roles user, narrator (Only user and assistant roles are supported!): "
            "choose prompts that fit it",
        ),
    ],
)
def test_a_chat_that_cannot_be_is_refused_in_one_line(write, template, messages, words):
    folder = write(template)
    with pytest.raises(UserError) as refused:
        Tokenizer.from_directory(folder).encode_chat(messages)
    assert str(refused.value) == f"{folder}: {words}"


def test_a_folder_that_transformers_cannot_open_is_refused_in_its_words(write):
    folder = write(tokenizer="gpt2, vocab.json and merges.txt", config="mistral, window")
    with pytest.raises(ValueError) as theirs:
        Truth(folder)
    with pytest.raises(UserError) as ours:
        Tokenizer.from_directory(folder)
    said = " ".join(str(theirs.value).split())
    advice = "fetch the model again, or install what this asks for"
    assert str(ours.value) == f"{folder}: transformers cannot open its tokenizer ({said}): {advice}"


@pytest.mark.parametrize("template", ["Gemma", "Mistral"])
def test_a_system_message_without_a_place_goes_before_the_users(write, template):
    folder = write(template)
    folded = [{"role": "user", "content": "Be brief.\n\nHello"}, ASSISTANT, USER]
    with pytest.warns(Notice) as said:
        ids = Tokenizer.from_directory(folder).encode_chat([SYSTEM, USER, ASSISTANT, USER])
    assert ids == Truth(folder).chat(folded)
    words = "its chat template has no place for a system message: it goes before the user's first"
    assert [str(warning.message) for warning in said] == [f"{folder}: {words}"]


@pytest.mark.parametrize("thinking", [True, False])
def test_a_switch_for_thinking_reaches_the_template(write, thinking):
    folder = write("Qwen 3")
    right = Truth(folder).auto.apply_chat_template([USER], add_generation_prompt=True, enable_thinking=thinking)["input_ids"]
    assert Tokenizer.from_directory(folder).configured(thinking=thinking).encode_chat([USER]) == right
