"""Choices as OpenAI's clients read them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from remid_jax.models.tokenizer import Tokenizer
from remid_jax.scoring.ranking import Ranked
from remid_jax.serving.completing import Choice


def completion(
    name: str, tokenizer: Tokenizer, made: Sequence[Sequence[Choice]], texts: Sequence[str] | None, top: bool
) -> dict[str, Any]:
    """Returns the answer of `/v1/completions`; `texts` are the prompts' where they are echoed, `top` wants likeliest tokens."""
    listed = []
    for number, own in enumerate(made):
        for choice in own:
            before = "" if texts is None else texts[number]
            logprobs = None
            if choice.ranked is not None:
                ids = [*(() if texts is None else choice.prompt), *choice.ids]
                logprobs = _columns(tokenizer, ids, choice.ranked, texts is not None, top)
            listed.append({"text": before + choice.text, "logprobs": logprobs, "finish_reason": choice.finish})
    return _answer("cmpl", "text_completion", name, listed, made)


def chat_completion(name: str, tokenizer: Tokenizer, made: Sequence[Sequence[Choice]], top: bool) -> dict[str, Any]:
    """Returns the answer of `/v1/chat/completions` to one chat."""
    listed = []
    for choice in made[0]:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        logprobs = None if choice.ranked is None else {"content": _rows(tokenizer, choice.ids, choice.ranked, top)}
        listed.append({"message": message, "logprobs": logprobs, "finish_reason": choice.finish})
    return _answer("chatcmpl", "chat.completion", name, listed, made)


def _answer(
    prefix: str, kind: str, name: str, listed: Sequence[dict[str, Any]], made: Sequence[Sequence[Choice]]
) -> dict[str, Any]:
    prompt = sum(len(own[0].prompt) for own in made)
    reply = sum(choice.tokens for own in made for choice in own)
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": name,
        "choices": [{"index": index, **choice} for index, choice in enumerate(listed)],
        "usage": {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply},
    }


def _columns(tokenizer: Tokenizer, ids: Sequence[int], ranked: Ranked, echoed: bool, top: bool) -> dict[str, Any]:
    """The log-probabilities of a completion, a list each; nothing predicts the first token of a text."""
    tokens = [tokenizer.decode([i]) for i in ids]
    lead: list[Any] = [None] if echoed else []
    values = [_short(value) for value in ranked.logprobs]
    best = None
    if top:
        names = [tokenizer.decode([i]) for i in ranked.best_ids]
        # Two tokens may have one spelling, as halves of a character have: the likeliest one's value is the one that stays.
        own = tokens[len(lead) :]
        columns = zip(own, values, names, ranked.best_logprobs, strict=True)
        best = [*lead, *({token: value, name: _short(most)} for token, value, name, most in columns)]
    offsets = [0]
    for token in tokens:
        offsets.append(offsets[-1] + len(token))
    return {"tokens": tokens, "token_logprobs": [*lead, *values], "top_logprobs": best, "text_offset": offsets[: len(tokens)]}


def _rows(tokenizer: Tokenizer, ids: Sequence[int], ranked: Ranked, top: bool) -> list[dict[str, Any]]:
    """The log-probabilities of a chat's reply, an object a token."""
    rows = []
    for i, value, best, most in zip(ids, ranked.logprobs, ranked.best_ids, ranked.best_logprobs, strict=True):
        likeliest = [_token(tokenizer, int(best), most)] if top else []
        rows.append({**_token(tokenizer, int(i), value), "top_logprobs": likeliest})
    return rows


def _token(tokenizer: Tokenizer, number: int, logprob: float) -> dict[str, Any]:
    text = tokenizer.decode([number])
    return {"token": text, "logprob": _short(logprob), "bytes": list(text.encode())}


def _short(value: float) -> float:
    """The nine digits that determine a float32."""
    return float(f"{value:.9g}")
