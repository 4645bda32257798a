"""A model folder read twice: by this package, and by transformers and torch, which are the truth."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers

from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store

from .templates import Template, chats
from .texts import PROMPTS, TEXTS

transformers.logging.set_verbosity_error()  # it warns of folders that this suite makes odd on purpose
transformers.logging.disable_progress_bar()
Ids = list[int]
LIMIT = 1e-4  # nats a token
EARLIER = ("\n", ".", "7", "\ue000")


@dataclasses.dataclass
class Difference:
    """What `kind` of text got which ids from us, and which are right; None: refused."""

    kind: str
    text: object
    ours: Ids | str | None
    right: Ids | None


@dataclasses.dataclass
class Outcome:
    """Of one folder: how many texts were asked, those whose ids differ, and the worst gap of an answer in nats a token.

    `refused`: transformers cannot open it, and neither can we.
    """

    texts: int = 0
    differences: list[Difference] = dataclasses.field(default_factory=list)
    gap: float = 0.0
    refused: bool = False

    @property
    def equal(self) -> int:
        return self.texts - len(self.differences)


class Truth:
    """transformers' ids of a folder."""

    def __init__(self, folder: Path):
        self.auto = transformers.AutoTokenizer.from_pretrained(folder)
        self.names = [token.content for token in self.auto.added_tokens_decoder.values()]

    def plain(self, text: str) -> Ids:
        return list(self.auto(text, add_special_tokens=False)["input_ids"])

    def prompt(self, text: str) -> Ids:
        """The ids of a raw prompt; where the text brings its own BOS, the tokenizer puts no second before it."""
        ids, bos = list(self.auto(text)["input_ids"]), self.auto.bos_token
        twice = bos and text.startswith(bos) and ids[:2] == [self.auto.bos_token_id] * 2
        return ids[1:] if twice else ids

    def chat(self, messages: list[dict[str, str]]) -> Ids | None:
        """None where the template refuses, or where there is none."""
        try:
            return list(self.auto.apply_chat_template(messages, add_generation_prompt=True)["input_ids"])
        except Exception:  # a template raises what it likes
            return None

    def answer(self, prompt: str, text: str) -> Ids:
        """The ids of a text behind another.

        A tokenizer that puts a space before a text must not put one before an answer. So its answer has the ids that stand
        behind the prompt's in the whole text, or, where it merges with the prompt's end, behind those of another text.
        """
        if not self.puts_space:
            return self.plain(text)
        for earlier in (prompt, *EARLIER):
            if (behind := self._behind(earlier, text)) is not None:
                return behind
        raise AssertionError(f"no text before which {text!r} stands apart")

    def settled(self, text: str) -> bool:
        """Whether the text has the same ids wherever it stands apart; a Unigram cuts "000" as "0", "00" or "00", "0"."""
        behind = [self._behind(earlier, text) for earlier in (*PROMPTS, *EARLIER)]
        return len({tuple(ids) for ids in behind if ids is not None}) == 1

    @functools.cached_property
    def puts_space(self) -> bool:
        return self._behind("\n", "ere") != self.plain("ere")

    def _behind(self, earlier: str, text: str) -> Ids | None:
        first, whole = self.plain(earlier), self.plain(earlier + text)
        return whole[len(first) :] if whole[: len(first)] == first else None

    def names_a_token(self, *texts: str) -> bool:
        return any(name in text for name in self.names for text in texts)


def compare_ids(folder: Path, template: Template, texts: Sequence[str] = TEXTS) -> Outcome:
    """Compares the ids of each text as raw prompt, in a chat, and as answer behind a prompt."""
    try:
        truth = Truth(folder)
    except ValueError:
        try:
            Tokenizer.from_directory(folder)
        except UserError:
            return Outcome(refused=True)
        raise
    ours = Tokenizer.from_directory(folder)
    assert ours is not None, "transformers found a tokenizer"
    return compare_texts(ours, truth, template, texts)


def compare_texts(ours: Tokenizer, truth: Truth, template: Template, texts: Sequence[str]) -> Outcome:
    """Compares as `compare_ids` does, what is open already."""
    # Where a text names an added token, ours is asked to read it; where it does not, that must make no difference.
    outcome, open_ours = Outcome(), ours.configured(control_tokens="tokens")

    def ask(kind: str, text: object, right: Ids | None, *ways: Callable[[], Ids]) -> None:
        outcome.texts += 1
        for way in ways:
            try:
                found: Ids | str | None = list(way())
            except UserError as error:
                found = None if right is None else str(error)
            if found != right:
                outcome.differences.append(Difference(kind, text, found, right))
                return

    for n, text in enumerate(texts):
        readers = [open_ours] if truth.names_a_token(text) else [open_ours, ours]
        prompt = PROMPTS[n % len(PROMPTS)]
        ask("raw", text, truth.prompt(text), lambda text=text: ours.encode_prompt(text))
        ways = [functools.partial(reader.encode, text, after=truth.prompt(prompt)) for reader in readers]
        ask("answer", (prompt, text), truth.answer(prompt, text), *ways)
    for messages in chats(tuple(texts), template):
        named = truth.names_a_token(*(message["content"] for message in messages))
        readers = [open_ours] if named else [open_ours, ours]
        ask("chat", messages, truth.chat(messages), *(functools.partial(reader.encode_chat, messages) for reader in readers))
    return outcome


def worst_gap(folder: Path, store: Path) -> float:
    """How far our log-likelihood of an answer is from torch's on transformers' ids, nats a token, at most.

    Empty prompts and answers are left out: they have no likelihood.
    """
    model, truth = open_model(str(folder), "float32"), Truth(folder)
    assert model.tokenizer is not None
    ours = model.tokenizer.configured(control_tokens="tokens")
    asked, right = [], []
    for n, text in enumerate(TEXTS):
        prompt = PROMPTS[n % len(PROMPTS)]
        if (prefix := truth.prompt(prompt)) and (answer := truth.answer(prompt, text)):
            right.append(Request(prefix, [Continuation(answer)]))
            prefix = ours.encode_prompt(prompt)
            asked.append(Request(prefix, [Continuation(ours.encode(text, after=prefix))]))
    found = ScoringEngine(model, Devices(), Store(store), 1024, 1024).score(asked)
    return max(
        abs(float(rows[0].astype("float64").sum()) - loglik) / len(request.continuations[0].ids)
        for rows, loglik, request in zip(found, torch_logliks(folder, right), right, strict=True)
    )


def torch_logliks(folder: Path, requests: list[Request]) -> list[float]:
    """Of each request's one answer, by transformers' model in float32, its softmax in float64; one forward pass, nats."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = [[*request.prefix, *request.continuations[0].ids] for request in requests]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)  # padded behind: no token sees what follows it
    for row, numbers in zip(ids, rows, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    with torch.no_grad():
        logprobs = model(ids).logits.double().log_softmax(-1)[:, :-1]
    scores = logprobs.gather(-1, ids[:, 1:, None])[..., 0]
    return [
        float(scores[n, len(request.prefix) - 1 : len(row) - 1].sum())
        for n, (request, row) in enumerate(zip(requests, rows, strict=True))
    ]


def compare(folder: Path, template: Template, store: Path) -> Outcome:
    """Compares ids and log-likelihoods of a whole folder."""
    outcome = compare_ids(folder, template)
    if not outcome.refused:
        outcome.gap = worst_gap(folder, store)
    return outcome
