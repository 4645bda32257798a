"""Models on this machine as endpoints: the sampler answers, and its store keeps the replies."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence

from remid_jax.endpoints.chat import Chat, ChatReply, Finish, Missing, Sampling, Usage
from remid_jax.models.sampling import Sampler
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.progress import Advance
from remid_jax.scoring.generation import Draw, Generator, Prompt, Sample, record_key
from remid_jax.scoring.texts import chat_ids, tokenizer_of


class Local:
    """An `Endpoint` that samples with one model.

    Raises:
      UserError: if the model has no tokenizer.
    """

    def __init__(self, generator: Generator):
        self._generator, self._tokenizer = generator, tokenizer_of(generator.model)

    @property
    def name(self) -> str:
        return self._generator.model.source

    def ask(self, chats: Sequence[Chat], report: Advance) -> list[list[ChatReply | Missing]]:
        """Returns the replies to each chat, [chat][draw]; `report` is told tokens, not replies.

        Raises:
          UserError: if there is no chat template, or a chat is too long for the model.
        """
        prompts = [Prompt(chat_ids(self._tokenizer, chat.messages), _draws(chat)) for chat in chats]
        alike: dict[Sampler, list[int]] = {}
        for number, chat in enumerate(chats):
            alike.setdefault(sampler_of(chat.sampling, self._generator.model.end_ids), []).append(number)
        replies: dict[int, list[ChatReply | Missing]] = {}
        for sampler, numbers in alike.items():
            samples = self._generator.generate([prompts[number] for number in numbers], sampler, report)
            for number, own in zip(numbers, samples, strict=True):
                stops, length = chats[number].sampling.stop, len(prompts[number].ids)
                replies[number] = [self._reply(sample, stops, length) for sample in own]
        return [replies[number] for number in range(len(chats))]

    def _reply(self, sample: Sample, stops: Sequence[str], prompt: int) -> ChatReply:
        text, kept, finish = written(self._tokenizer, sample, stops)
        return ChatReply(text, finish, Usage(prompt, len(sample.ids)), sample.logprobs[:kept])


def sampler_of(sampling: Sampling, end_ids: tuple[int, ...]) -> Sampler:
    """Returns when replies end and which tokens they may hold; texts that end them are cut off afterwards."""
    return Sampler(sampling.max_tokens, end_ids, top_p=sampling.top_p)


def draw_of(sampling: Sampling, asked: str, number: int) -> Draw:
    """Returns how draw `number` to the text `asked` is made: its key depends on the seed and on these two alone."""
    return Draw(sampling.temperature, key=record_key(sampling.seed, "endpoint", asked, number))


def written(tokenizer: Tokenizer, sample: Sample, stops: Sequence[str]) -> tuple[str, int, Finish]:
    """Returns a sample's text before the first of `stops`, how many of its tokens make that text, and why it ended."""
    ids = sample.ids
    text = tokenizer.decode(ids)
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    if not places:
        return text, len(ids), "stop" if sample.finish == "end" else "length"
    text = text[: min(places)]
    kept = bisect.bisect_left(range(len(ids)), True, key=lambda count: tokenizer.decode(ids[:count]).startswith(text))
    return text, kept, "stop"


def _draws(chat: Chat) -> list[Draw]:
    asked = json.dumps([dict(message) for message in chat.messages], sort_keys=True)
    return [draw_of(chat.sampling, asked, number) for number in range(chat.n)]
