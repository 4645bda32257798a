"""Chat templates: transformers renders them; what it leaves open is settled here.

A template may have no place for a system message, may want roles to alternate, or may write today's date. Such a chat is
folded, and said so once; the date is that of the run, so that a run that goes on tomorrow has equal prompts.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from remid_jax.errors import Notice, UserError

if TYPE_CHECKING:  # imported when a tokenizer is opened: it takes seconds
    from transformers import PreTrainedTokenizerBase

ControlTokens = Literal["text", "tokens"]
Messages = Sequence[Mapping[str, str]]

CODES = [f"{flag}{code}" for flag in ("", "-") for code in "aAbBcdDeFGhHIjmMnpSTuUVwWxXyYzZ"]  # of strftime


@dataclasses.dataclass(frozen=True)
class Reading:
    """How texts are read where a run may choose.

    `control_tokens`: whether their names in people's texts are text, or read as tokens. `template` are settings passed to the
    chat template, for example {"enable_thinking": False}; `date` is what templates that write today's date take for today.
    """

    control_tokens: ControlTokens = "text"
    template: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    date: datetime.date | None = None


class ChatTemplate:
    """The chat template of a tokenizer of transformers, under the settings and on the day of `reading`."""

    def __init__(self, library: PreTrainedTokenizerBase, place: str, reading: Reading):
        self._library, self._place, self._reading = library, place, reading

    @functools.cached_property
    def text(self) -> str | None:
        """The template itself; None without one, also where there are only templates for tools."""
        try:
            return self._library.get_chat_template()
        except ValueError:
            return None

    @property
    def lack(self) -> str:
        """Says, for an error message, what there is in place of a template."""
        templates = self._library.chat_template
        if isinstance(templates, dict):
            return f"has chat templates for {', '.join(sorted(templates))} alone, none for a plain chat"
        return "has no chat template"

    @property
    def writes_date(self) -> bool:
        return "strftime_now" in (self.text or "")

    @functools.cached_property
    def folds_system(self) -> bool:
        """Whether the template has no place for a system message, which then goes before the user's first."""
        user = [{"role": "user", "content": "Question"}]
        if self.text is None or self.accepted(user) is None:
            return False
        chat = self.accepted([{"role": "system", "content": "Instruction"}, *user])
        return chat is None or "Instruction" not in chat

    @functools.cached_property
    def generation_prompt(self) -> str:
        """What stands behind a question, up to where the assistant's text begins; "" where the template refuses one."""
        return (self.accepted([{"role": "user", "content": "Question"}]) or "").rpartition("Question")[2]

    @functools.cached_property
    def after_answer(self) -> str:
        """What stands behind an assistant's message; "" where the template has its own idea of a chat."""
        exchange = [{"role": "user", "content": "Question"}, {"role": "assistant", "content": "Answer"}]
        chat = self.accepted(exchange, generation_prompt=False) or ""
        return chat.rpartition("Answer")[2] if "Answer" in chat else ""

    def render(self, messages: Messages) -> str:
        """Returns the chat up to where the assistant's next message begins.

        A system message that the template has no place for goes before the user's first; a template that wants roles to
        alternate gets messages of one role in a row as one.

        Raises:
          UserError: if there is no template, or it refuses the messages.
        """
        if self.text is None:
            raise UserError(f"{self._place}: {self.lack}: name an instruction-tuned model, or score raw prompts")
        if any(message.get("role") == "system" for message in messages) and self.folds_system:
            _say_once(f"{self._place}: its chat template has no place for a system message: it goes before the user's first")
            messages = without_system(messages)
        try:
            return self._rendered(messages)
        except UserError as refusal:
            merged = alternating(messages)
            chat = None if len(merged) == len(messages) else self.accepted(merged)
            if chat is None:
                raise refusal
            _say_once(f"{self._place}: its chat template wants roles to alternate: messages of one role in a row become one")
            return chat

    def accepted(self, messages: Messages, generation_prompt: bool = True) -> str | None:
        """Returns the chat as it stands, without folding; None where the template refuses it."""
        try:
            return self._rendered(messages, generation_prompt)
        except UserError:
            return None

    def _rendered(self, messages: Messages, generation_prompt: bool = True) -> str:
        template, date = self.text or "", self._reading.date
        if date is not None and self.writes_date:
            template = on_day(template, date)
        try:
            chat = self._library.apply_chat_template(
                list(map(dict, messages)), chat_template=template, tokenize=False, add_generation_prompt=generation_prompt,
                **self._reading.template,
            )  # fmt: skip
            return str(chat)
        except Exception as error:  # a template is a program of its maker's
            roles = ", ".join(str(message.get("role")) for message in messages)
            why = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"{self._place}: its chat template refuses a chat of roles {roles} ({why}): choose prompts that fit it"
            ) from error


def on_day(template: str, date: datetime.date) -> str:
    """Returns the template on a day of its own: a macro takes the place of the library's `strftime_now`."""
    chain = "".join(f"|replace({f'%{code}'!r}, {date.strftime(f'%{code}')!r})" for code in CODES)
    return f"{{% macro strftime_now(form) %}}{{{{ form{chain} }}}}{{% endmacro %}}{{{{ '' }}}}{template}"


def without_system(messages: Messages) -> list[dict[str, str]]:
    """Returns the chat with the text of its system messages before the first message of the user."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if not rest or rest[0]["role"] != "user":
        rest.insert(0, {"role": "user", "content": ""})
    rest[0]["content"] = "\n\n".join(filter(None, [*system, rest[0]["content"]]))
    return rest


def alternating(messages: Messages) -> list[dict[str, str]]:
    """Returns the chat with messages of one role in a row joined to one."""
    joined: list[dict[str, str]] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1]["content"] += f"\n\n{message['content']}"
        else:
            joined.append(dict(message))
    return joined


@functools.cache
def _say_once(message: str) -> None:
    warnings.warn(message, Notice, stacklevel=2)
