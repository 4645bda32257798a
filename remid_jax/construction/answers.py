"""Answers in the form that was asked for: read leniently, asked for again where they do not fit, and counted.

An answer that does not fit is asked for again as the next draw, with the next seed, so that it is another request. An answer
that did not come at all is not: it is asked for when the same command runs again.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from remid_jax.construction.gates.fields import weight
from remid_jax.construction.gates.language import LEAST
from remid_jax.dialogues.languages import language_name, language_share
from remid_jax.dialogues.prompts import Messages
from remid_jax.dialogues.thoughts import USUAL, split_thoughts
from remid_jax.dialogues.validated import validated
from remid_jax.endpoints.chat import Chat, ChatReply, Endpoint, Missing, Sampling
from remid_jax.endpoints.recorded import Recorded
from remid_jax.errors import UserError
from remid_jax.files import is_text
from remid_jax.progress import Reports

SHOWN = 300  # characters of an answer that did not fit, in the list of failures
_LONE_COMMA = re.compile(r",(\s*[}\]])")
_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)


class Unfit(Exception):
    """An answer does not have the form that was asked for: why, in a few words."""


class Answered(BaseModel):
    """An object that a model writes: keys that nobody asked for are passed over."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)


Text = Annotated[str, Field(min_length=1)]
Form = TypeVar("Form", bound=BaseModel)
Made = TypeVar("Made")
Read = TypeVar("Read", covariant=True)


@dataclasses.dataclass(frozen=True)
class Question(Generic[Read]):
    """What is asked of a model.

    Attributes:
      item: names what the answer is for.
      messages: the conversation so far.
      read: makes of the answer what is wanted of it, or raises `Unfit`.
    """

    item: str
    messages: Messages
    read: Callable[[str], Read]


@dataclasses.dataclass(frozen=True)
class Failure:
    """What could not be made: of which stage, for which item, why at each try, and the beginning of the last answer."""

    stage: str
    item: str
    why: tuple[str, ...]
    said: str

    def to_json(self) -> dict[str, Any]:
        """Returns the failure as a line of failures.jsonl."""
        return dataclasses.asdict(self)


class Tally:
    """Counts what was asked.

    Attributes:
      counts: {stage: {"asked": questions, "again": draws beyond the first of each, "fitting": answers, "failed": questions}}.
      failures: what could not be made.
      stopped: {endpoint: why it is not asked any more}.
    """

    def __init__(self) -> None:
        self.counts: dict[str, collections.Counter[str]] = {}
        self.failures: list[Failure] = []
        self.stopped: dict[str, str] = {}

    def described(self) -> dict[str, dict[str, int]]:
        """Returns the counts, every one of each stage."""
        names = ("asked", "again", "fitting", "failed")
        return {stage: {name: counts[name] for name in names} for stage, counts in self.counts.items()}


class Questioner:
    """Asks one endpoint, each question at most `tries` times.

    With `go_on`, an endpoint that answers no more ends nothing: what its store holds is used, the rest fails.
    """

    def __init__(self, endpoint: Endpoint, sampling: Sampling, tries: int, go_on: bool, tally: Tally, progress: Reports):
        self._endpoint, self._sampling, self._tries, self._go_on = endpoint, sampling, tries, go_on
        self._tally, self._progress = tally, progress

    def ask(self, stage: str, questions: Sequence[Question[Made]]) -> list[Made | None]:
        """Returns what was made of the answers, in the order of the questions; None where none fitted.

        Questions with the same messages get answers of their own.

        Raises:
          UserError: as `Endpoint.ask`, unless it shall go on.
        """
        made: list[Made | None] = [None] * len(questions)
        reasons: list[list[str]] = [[] for _ in questions]
        said = [""] * len(questions)
        counts = self._tally.counts.setdefault(stage, collections.Counter())
        counts["asked"] += len(questions)
        left, failed = list(range(len(questions))), set(range(len(questions)))
        first_draws = self._first_draws(questions)
        for draw in range(self._tries):
            if not left:
                break
            counts["again"] += len(left) if draw else 0
            chats = [self._chat(questions[n], first_draws[n] + draw) for n in left]
            replies, again = self._replies(stage if not draw else f"{stage}, try {draw + 1}", chats), []
            for n, reply in zip(left, replies, strict=True):
                if isinstance(reply, Missing):
                    reasons[n].append(f"no answer: {reply.why}")
                    continue
                try:
                    made[n] = questions[n].read(_spoken(reply))
                    failed.discard(n)
                except Unfit as unfit:
                    cut = f", cut off after {self._sampling.max_tokens} tokens" if reply.finish == "length" else ""
                    reasons[n].append(f"{unfit}{cut}")
                    said[n] = reply.text[:SHOWN].encode("utf-8", "replace").decode()
                    again.append(n)
            left = again
        self._tally.failures += [Failure(stage, questions[n].item, tuple(reasons[n]), said[n]) for n in sorted(failed)]
        counts["failed"] += len(failed)
        counts["fitting"] += len(questions) - len(failed)
        return made

    def _first_draws(self, questions: Sequence[Question[Any]]) -> list[int]:
        """The number of each question's first draw: those with the same messages share none."""
        times: collections.Counter[str] = collections.Counter()
        draws = []
        for question in questions:
            asked = json.dumps(question.messages)
            draws.append(times[asked] * self._tries)
            times[asked] += 1
        return draws

    def _chat(self, question: Question[Any], draw: int) -> Chat:
        return Chat(question.messages, dataclasses.replace(self._sampling, seed=self._sampling.seed + draw))

    def _replies(self, stage: str, chats: Sequence[Chat]) -> list[ChatReply | Missing]:
        endpoint = self._endpoint
        if isinstance(endpoint, Recorded) and endpoint.name in self._tally.stopped:
            return [reply for [reply] in endpoint.kept(chats)]
        try:
            unit = "answers" if isinstance(endpoint, Recorded) else "tokens"
            with self._progress.stage(stage, unit) as advance:
                return [reply for [reply] in endpoint.ask(chats, advance)]
        except UserError as error:
            if not (self._go_on and isinstance(endpoint, Recorded)):
                raise
            self._tally.stopped[endpoint.name] = str(error)
            return [reply for [reply] in endpoint.kept(chats)]


def object_in(text: str, form: type[Form]) -> Form:
    """Returns the first JSON object in an answer that has this form, whatever stands around it; a comma too many is let pass.

    Raises:
      Unfit: if there is none; what is wrong with the first object that could be read.
    """
    faults: list[str] = []
    for value in (*_objects(text), *_objects(_LONE_COMMA.sub(r"\1", text))):
        wrong: list[str] = []
        if (made := validated(form, value, wrong)) is not None:
            return made
        faults = faults or wrong
    raise Unfit("; ".join(faults[:3]) if faults else "holds no JSON object")


def tagged_in(text: str, tag: str) -> str:
    """Returns what stands after `<tag>`, up to `</tag>` if that came; without the tags, what stands in the one fenced block.

    Raises:
      Unfit: if there is neither, or nothing in it.
    """
    _, opening, after = text.partition(f"<{tag}>")
    fenced = _FENCED.findall(text)
    if not opening and len(fenced) != 1:
        raise Unfit(f"holds no <{tag}>")
    inside = after.partition(f"</{tag}>")[0] if opening else fenced[0]
    if not inside.strip():
        raise Unfit(f"<{tag}> is empty")
    if not is_text(inside):
        raise Unfit("holds half a surrogate pair, which is no character")
    return inside.strip()


def check_language(text: str, language: str | None, among: Iterable[str]) -> None:
    """Raises `Unfit` unless a text is in the language with this BCP 47 tag, told apart from those `among` which it may be.

    One that is too short to have a language, as the gate for languages has it, is let pass.
    """
    if weight(text) < LEAST:
        return
    share = language_share([text], language, among)
    if share.share == 0:
        assert language is not None
        raise Unfit(f"is in {share.detected[0] or 'no language that can be told'}, not in {language_name(language)}")


def _spoken(reply: ChatReply) -> str:
    spoken = split_thoughts(reply.text, [USUAL])
    if not spoken.ended:
        raise Unfit("its thoughts do not end")
    return spoken.said


def _objects(text: str) -> Iterator[Any]:
    """The JSON objects that begin at each brace, outer ones first; line breaks inside texts are let pass."""
    decoder = json.JSONDecoder(strict=False)
    for brace in re.finditer(r"\{", text):
        try:
            yield decoder.raw_decode(text, brace.start())[0]
        except (ValueError, RecursionError):
            continue
