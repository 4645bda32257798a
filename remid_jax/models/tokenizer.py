"""Tokenizers: text and chats to token ids and back, from Hugging Face directories and from GGUF metadata.

What people write must never steer a model, so text is kept apart from control tokens such as `<|im_end|>`. Each tokenizer
has two backends. The *open* one is the model's own: it reads a control token wherever its name stands in the text. The
*shielded* one reads names as plain text; it knows the control tokens by aliases that no text can hold, and a chat is encoded
by it after the control tokens that the template wrote, and no others, have been given their aliases. So a chat is encoded in
one piece, and what stands between control tokens is split exactly as the model's own tokenizer splits it.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from remid_jax.errors import UserError
from remid_jax.files import read_object, read_text, write_text

# Besides the tokens marked special: some makers leave the mark off, but nobody gives such a name to a piece of text.
CONTROL_NAME = re.compile(r"<[|｜].*[|｜]>", re.DOTALL)


class Tokenizer:
    """A tokenizer with its chat template.

    `backend` encodes and decodes as the model's own tokenizer does. `names` are the special tokens by their roles
    ("bos_token", "eos_token", ...), which templates use; `place` is what error messages call this tokenizer.
    """

    def __init__(self, backend: tokenizers.Tokenizer, template: str | None, names: Mapping[str, str], place: str):
        backend.no_truncation()
        backend.no_padding()
        known = {token.content for token in backend.get_added_tokens_decoder().values()}
        backend.add_special_tokens(
            [name for name in names.values() if name not in known and backend.token_to_id(name) is not None]
        )
        self.template, self.names, self.place = template, dict(names), place
        self._open = backend
        added = backend.get_added_tokens_decoder()
        controls = {i: token for i, token in added.items() if token.special or CONTROL_NAME.fullmatch(token.content)}
        self._controls = {token.content: i for i, token in controls.items()}
        self._control = _any_of(self._controls)
        nonce = secrets.token_hex(8)
        self._alias = {name: f"\ue000{nonce}.{i}\ue000" for name, i in self._controls.items()}
        self._standin = {name: f"\ue001{nonce}.{i}\ue001" for name, i in self._controls.items()}
        self._standing_in = {standin: name for name, standin in self._standin.items()}
        self._any_standin = _any_of(self._standing_in)
        self._shielded = _shield(backend, {i: (token, self._alias[token.content]) for i, token in controls.items()})
        self._id_of_alias = {self._shielded.token_to_id(self._alias[name]): i for name, i in self._controls.items()}

    @classmethod
    def from_directory(cls, directory: str | Path) -> Tokenizer | None:
        """The tokenizer of a Hugging Face model directory; None if there is no tokenizer.json.

        Raises:
          UserError: if a file of it is broken.
        """
        directory = Path(directory)
        path = directory / "tokenizer.json"
        if not path.is_file():
            return None
        text = read_text(path)
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing more special
            raise UserError(f"{path}: is not a tokenizer ({_line(error)}): fetch the model again") from error
        config = _read_json(directory / "special_tokens_map.json") | _read_json(directory / "tokenizer_config.json")
        names = {role: _content(token) for role, token in config.items() if role.endswith("_token") and _content(token)}
        template, own_file = config.get("chat_template"), directory / "chat_template.jinja"
        if own_file.is_file():
            template = read_text(own_file)
        elif isinstance(template, list):
            template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
        return cls(backend, template, names, str(directory))

    @classmethod
    def from_gguf(cls, fields: Mapping[str, Any], place: str) -> Tokenizer:
        """The tokenizer that a GGUF file's metadata describe, exactly as the original was.

        Raises:
          UserError: if the metadata do not say enough for that, or are broken.
        """
        model, pre = str(fields.get("tokenizer.ggml.model")), str(fields.get("tokenizer.ggml.pre", "default"))
        if model != "gpt2" or pre not in SPLITS:
            # A SentencePiece vocabulary (model "llama") lacks its merges and where it puts spaces.
            raise UserError(
                f"{place}: a tokenizer of model {model}, pre {pre} cannot be rebuilt exactly from GGUF metadata: put the "
                "original model's tokenizer.json and tokenizer_config.json beside the file"
            )
        try:
            backend, names = _build(fields, pre)
        except Exception as error:  # whatever a broken file makes of it; the library raises nothing more special
            raise UserError(f"{place}: broken tokenizer metadata ({_line(error)}): fetch the file again") from error
        return cls(backend, fields.get("tokenizer.chat_template"), names, place)

    def save(self, directory: str | Path) -> None:
        """Writes the files from which transformers' AutoTokenizer, and `from_directory`, make the same tokenizer."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **self.names}
        write_text(directory / "tokenizer.json", self._open.to_str(pretty=True))
        write_text(directory / "tokenizer_config.json", json.dumps(config, indent=1, ensure_ascii=False) + "\n")
        (directory / "special_tokens_map.json").unlink(missing_ok=True)
        if self.template is None:
            (directory / "chat_template.jinja").unlink(missing_ok=True)
        else:
            write_text(directory / "chat_template.jinja", self.template)

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 over all that decides which ids a text or chat gets."""
        return hashlib.sha256(json.dumps([self._open.to_str(), self.template, self.names]).encode()).hexdigest()

    @property
    def has_chat_template(self) -> bool:
        return self.template is not None

    @functools.cached_property
    def end_of_turn_id(self) -> int:
        """The control token that the chat template writes behind an assistant's message, or else the end of the sequence.

        Raises:
          UserError: if there is neither.
        """
        if self.template is not None:
            exchange = [{"role": "user", "content": "Question"}, {"role": "assistant", "content": "Answer"}]
            try:
                chat = self._render(exchange, False)
            except UserError:
                chat = ""  # a template with its own idea of a chat: the end of the sequence it is
            written = self._control.match(chat.rpartition("Answer")[2].lstrip()) if "Answer" in chat else None
            if written:
                return self._controls[written[0]]
        end = self._open.token_to_id(self.names.get("eos_token", ""))
        if end is None:
            raise UserError(f"{self.place}: no token of the tokenizer ends a turn: name its eos_token in tokenizer_config.json")
        return end

    def encode(self, text: str) -> list[int]:
        """The ids of plain text: no special token is added, and none is read out of the text."""
        return self._shielded.encode(text, add_special_tokens=False).ids

    def encode_prompt(self, text: str) -> list[int]:
        """The ids of a raw prompt, as the model's own tokenizer gives them: with BOS if it adds one, control tokens read."""
        return self._open.encode(text, add_special_tokens=True).ids

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of a chat up to where the assistant's next message begins, as transformers' `apply_chat_template`.

        The names of control tokens inside the messages are plain text.

        Raises:
          UserError: if there is no chat template, or the template refuses the messages.
        """
        if self.template is None:
            raise UserError(f"{self.place}: has no chat template: name an instruction-tuned model, or score raw prompts")
        # Stand-ins tell the names in messages from those of the template, which may trim, repeat or drop messages.
        shielded = [
            {key: self._control.sub(lambda name: self._standin[name[0]], value) for key, value in message.items()}
            for message in messages
        ]
        chat = self._control.sub(lambda name: self._alias[name[0]], self._render(shielded, True))
        chat = self._any_standin.sub(lambda standin: self._standing_in[standin[0]], chat)
        ids = self._shielded.encode(chat, add_special_tokens=False).ids
        return [self._id_of_alias.get(i, i) for i in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids, special tokens left out."""
        return self._open.decode([int(i) for i in ids], skip_special_tokens=True)

    def token_name(self, token: int) -> str | None:
        """How the vocabulary spells this id."""
        return self._open.id_to_token(token)

    def _render(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        try:
            return _compile(self.template or "").render(
                messages=messages, tools=None, documents=None, add_generation_prompt=add_generation_prompt, **self.names
            )
        except (jinja2.TemplateError, TypeError, ValueError, LookupError) as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise UserError(
                f"{self.place}: its chat template refuses a chat of roles {roles} ({_line(error)}): choose prompts that fit it"
            ) from error


def _any_of(strings: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the strings, the longest where several fit, as the backends do."""
    return re.compile("|".join(map(re.escape, sorted(strings, key=len, reverse=True))) or "(?!)")


def _shield(backend: tokenizers.Tokenizer, controls: Mapping[int, tuple[AddedToken, str]]) -> tokenizers.Tokenizer:
    """A copy that takes the names of control tokens for text and reads their aliases in their place."""
    raw = json.loads(backend.to_str())
    for token in raw["added_tokens"]:
        token["special"] |= token["id"] in controls
    shielded = tokenizers.Tokenizer.from_str(json.dumps(raw))
    shielded.add_tokens(
        [
            AddedToken(
                alias, single_word=token.single_word, lstrip=token.lstrip, rstrip=token.rstrip, normalized=token.normalized
            )
            for token, alias in controls.values()
        ]
    )
    shielded.encode_special_tokens = True
    return shielded


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _content(token: Any) -> Any:
    """The name of a special token, which files write as a string or as an object."""
    return token.get("content") if isinstance(token, dict) else token if isinstance(token, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    return read_object(path, "fetch the model again") if path.is_file() else {}


# --------------------------------------------------------------------------------------------------------- chat templates


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks, for training, what the assistant says; a rendering only passes it on."""

    tags = {"generation"}  # noqa: RUF012 (the name and type are jinja2's)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


@functools.lru_cache(maxsize=16)
def _compile(template: str) -> jinja2.Template:
    """A chat template in the environment that Hugging Face's templates are written for; it cannot reach the program."""

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment.from_string(template)


# ------------------------------------------------------------------------------------------------------------------- GGUF

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # of llama.cpp's kinds of tokens, those that matter here
GGUF_ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
QWEN2_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = QWEN2_WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")  # take a word of the vocabulary whole, and begin prompts with BOS


def _split_gpt2(backend: tokenizers.Tokenizer) -> None:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)


def _split_smollm(backend: tokenizers.Tokenizer) -> None:
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, words])


def _split_by(words: str, backend: tokenizers.Tokenizer) -> None:
    split, spelling = pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])


def _split_qwen2(backend: tokenizers.Tokenizer) -> None:
    backend.normalizer = normalizers.NFC()
    _split_by(QWEN2_WORDS, backend)


# How the models' own tokenizers cut text before merging, by the name of GGUF's "pre".
SPLITS: dict[str, Callable[[tokenizers.Tokenizer], None]] = {
    "default": _split_gpt2,
    "gpt-2": _split_gpt2,
    "smollm": _split_smollm,
    "qwen2": _split_qwen2,
    **dict.fromkeys(WHOLE_WORDS, functools.partial(_split_by, LLAMA3_WORDS)),
}


def _build(fields: Mapping[str, Any], pre: str) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """A byte-level BPE backend, and its special tokens by their roles."""
    tokens = fields["tokenizer.ggml.tokens"]
    kinds = fields.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    typed = list(zip(tokens, kinds, strict=True))
    vocabulary = {token: i for i, (token, kind) in enumerate(typed) if kind != UNUSED}
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in WHOLE_WORDS))
    SPLITS[pre](backend)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == CONTROL])
    backend.add_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == USER_DEFINED])
    ids = {role: fields.get(f"tokenizer.ggml.{key}_token_id") for role, key in GGUF_ROLES.items()}
    names = {role: tokens[i] for role, i in ids.items() if i is not None}
    bos = (
        [names["bos_token"]] if "bos_token" in names and fields.get("tokenizer.ggml.add_bos_token", pre in WHOLE_WORDS) else []
    )
    eos = [names["eos_token"]] if "eos_token" in names and fields.get("tokenizer.ggml.add_eos_token", False) else []
    backend.post_processor = processors.TemplateProcessing(
        single=[*bos, "$A", *eos], special_tokens=[(name, backend.token_to_id(name)) for name in dict.fromkeys(bos + eos)]
    )
    return backend, names
