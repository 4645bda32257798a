"""From prompts as ids to the choices of a completion: sampled, ranked where log-probabilities are wanted, cut at stops."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Sequence

import numpy as np

from remid_jax.endpoints.local import written
from remid_jax.models.sampling import Sampler
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.scoring.generation import Draw, Prompt, Sample, record_key
from remid_jax.scoring.ranking import Ranked
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.serving.bodies import Sampled
from remid_jax.serving.refusals import wrong
from remid_jax.serving.served import Served

NOTHING = Ranked(np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is wanted of each prompt: `n` replies, their tokens' log-probabilities (`ranked`), and with `echo` the prompt's."""

    sampler: Sampler
    temperature: float
    repetition_penalty: float
    seed: int
    n: int
    stops: tuple[str, ...]
    ranked: bool
    echo: bool = False

    @property
    def is_next_token(self) -> bool:
        """Whether nothing is wanted but the likeliest next token: lm-eval asks so for log-likelihoods."""
        return self.sampler.max_new == 1 and self.temperature == 0 and self.repetition_penalty == 1 and self.ranked


@dataclasses.dataclass(frozen=True)
class Choice:
    """One reply to one prompt.

    Attributes:
      text: what was written, before any stop.
      finish: why it ended, "stop" or "length".
      prompt: the ids of the prompt.
      ids: the ids that make the text, with the end token where it ended so.
      tokens: how many ids were drawn.
      ranked: of `ids`, led by the prompt's from the second on where they are echoed; None where nobody wants it.
    """

    text: str
    finish: str
    prompt: Sequence[int]
    ids: Sequence[int]
    tokens: int
    ranked: Ranked | None


def wish_of(served: Served, body: Sampled, ranked: bool, max_tokens: int, echo: bool = False) -> Wish:
    """Returns what a body wishes; without a seed one is drawn.

    Raises:
      Refusal: for more tokens than this server gives.
    """
    if max_tokens > served.limits.max_new:
        raise wrong(f"max_tokens: {max_tokens} is more than the {served.limits.max_new} that this server gives")
    sampler = Sampler(max_tokens, served.model.end_ids, top_k=body.top_k, top_p=body.top_p)
    seed = secrets.randbits(31) if body.seed is None else body.seed
    return Wish(sampler, body.temperature, body.repetition_penalty, seed, body.n, body.stop, ranked, echo)


def check_prompts(served: Served, prompts: Sequence[Sequence[int]], wish: Wish) -> None:
    """Raises Refusal for a prompt without tokens, one that is too long with its reply, or with an id that the model lacks."""
    config = served.model.config
    for prompt in prompts:
        if not prompt:
            raise wrong("a prompt has no token under the tokenizer of this model")
        if max(prompt) >= config.vocab_size:
            raise wrong(f"prompt: token id {max(prompt)} is not below the vocabulary size {config.vocab_size}")
        most = min(served.limits.max_prompt, config.max_positions - wish.sampler.max_new)
        if len(prompt) > most:
            raise wrong(f"a prompt of {len(prompt)} tokens is longer than the {most} that this server takes: shorten it")


async def choices(served: Served, prompts: Sequence[Sequence[int]], wish: Wish) -> list[list[Choice]]:
    """Returns the replies to each prompt, [prompt][draw]."""
    samples, ranked = await (_next_tokens if wish.is_next_token else _drawn)(served, prompts, wish)
    return await served.read(_choices, served.tokenizer, prompts, samples, ranked, wish)


async def _next_tokens(
    served: Served, prompts: Sequence[Sequence[int]], wish: Wish
) -> tuple[list[list[Sample]], list[list[Ranked]]]:
    """The likeliest token behind each prompt, from its ranking alone: the last place is scored for any id, and then read."""
    filler = Sample((served.model.end_ids[0],), (0.0,), "end")
    samples, ranked = [], []
    for [rows] in await served.rank([_request(prompt, [filler], wish) for prompt in prompts]):
        best, value = int(rows.best_ids[-1]), rows.best_logprobs[-1:]
        finish = "end" if best in served.model.end_ids else "length"
        samples.append([Sample((best,), (float(value[0]),), finish)] * wish.n)  # type: ignore[arg-type]  # one of two words
        ranked.append([rows._replace(logprobs=np.concatenate([rows.logprobs[:-1], value]))] * wish.n)
    return samples, ranked


async def _drawn(
    served: Served, prompts: Sequence[Sequence[int]], wish: Wish
) -> tuple[list[list[Sample]], list[list[Ranked]] | None]:
    samples = [[Sample((), (), "length")] * wish.n for _ in prompts]
    if wish.sampler.max_new:
        samples = await served.sample([Prompt(prompt, _draws(prompt, wish)) for prompt in prompts], wish.sampler)
    if not wish.ranked:
        return samples, None
    requests = [_request(prompt, own, wish) for prompt, own in zip(prompts, samples, strict=True)]
    # There is nothing to rank where a prompt of one token is echoed without a reply, or no prompt is.
    asked = [request for request in requests if request.continuations[0].ids]
    ranks = iter(await served.rank(asked) if asked else [])
    return samples, [next(ranks) if request.continuations[0].ids else [NOTHING] * wish.n for request in requests]


def _request(prompt: Sequence[int], samples: Sequence[Sample], wish: Wish) -> Request:
    """What is ranked: the samples, and with `echo` the prompt from its second token on, which nothing predicts the first of."""
    head, rest = (prompt[:1], prompt[1:]) if wish.echo else (prompt, ())
    return Request(list(head), [Continuation([*rest, *sample.ids]) for sample in samples])


def _draws(prompt: Sequence[int], wish: Wish) -> list[Draw]:
    """Draws whose keys depend on the seed, the prompt and their numbers alone."""
    name = hashlib.sha256(np.asarray(prompt, np.int32).tobytes()).hexdigest()
    keys = [record_key(wish.seed, "serve", name, number) if wish.temperature else (0, 0) for number in range(wish.n)]
    return [Draw(wish.temperature, wish.repetition_penalty, key) for key in keys]


def _choices(
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    samples: Sequence[Sequence[Sample]],
    ranked: Sequence[Sequence[Ranked]] | None,
    wish: Wish,
) -> list[list[Choice]]:
    """Samples as texts, cut at stops with what belongs to them."""
    made: list[list[Choice]] = []
    for n, (prompt, own) in enumerate(zip(prompts, samples, strict=True)):
        made.append([])
        for draw, sample in enumerate(own):
            text, kept, finish = written(tokenizer, sample, wish.stops)
            rows = None
            if ranked is not None:
                echoed = len(prompt) - 1 if wish.echo else 0
                rows = Ranked(*(column[: echoed + kept] for column in ranked[n][draw]))
            made[-1].append(Choice(text, finish, prompt, sample.ids[:kept], len(sample.ids), rows))
    return made
