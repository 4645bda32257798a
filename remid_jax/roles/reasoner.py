"""What a reasoner writes about a record before the responder replies, and what a teacher writes who sees the golden reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remid_jax.dialogues.parsing import MARKER, Fallback, Parsed, core_features
from remid_jax.dialogues.prompts import Messages, Prompts
from remid_jax.dialogues.records import Record
from remid_jax.dialogues.thoughts import USUAL, split_thoughts
from remid_jax.endpoints.chat import Chat, Endpoint, Sampling, all_replies
from remid_jax.errors import UserError
from remid_jax.models.sampling import Sampler
from remid_jax.progress import Advance
from remid_jax.scoring.engine import Report
from remid_jax.scoring.generation import Generator, Prompt
from remid_jax.scoring.texts import chat_ids, tokenizer_of


def reason(
    records: Sequence[Record], prompts: Prompts, generator: Generator, max_new: int, fallback: Fallback, report: Report
) -> dict[str, Parsed]:
    """Greedy reasoning of the reasoner for every record, parsed by docs/protocol.md, rule 18."""
    written = _write(records, prompts.reasoner, generator, max_new, report)
    return {name: core_features(text, fallback) for name, text in written.items()}


def teach(records: Sequence[Record], prompts: Prompts, generator: Generator, max_new: int, report: Report) -> dict[str, str]:
    """Greedy reasoning of a local model that sees the golden reply, for a cold start; never for an evaluation."""
    return _write(records, prompts.teacher, generator, max_new, report)


def teach_through(
    records: Sequence[Record], prompts: Prompts, endpoint: Endpoint, max_new: int, report: Advance
) -> dict[str, str]:
    """Returns what a teacher behind an endpoint writes at temperature 0 who sees the golden reply, by record.

    It opens the block of core features itself: not every server goes on with a turn that was begun for its model. Its thoughts
    are not heard. A record of which it gives no core features is left out.

    Raises:
      UserError: if a reply is missing (see `all_replies`), or none gives core features.
    """
    chats = [Chat(prompts.teacher(record)[0], Sampling(max_new)) for record in records]
    written: dict[str, str] = {}
    for record, [reply] in zip(records, all_replies(endpoint, chats, report), strict=True):
        spoken = split_thoughts(reply.text, [USUAL])
        if spoken.ended and core_features(spoken.said).text:
            written[record.id] = spoken.said
    if not written:
        raise UserError(
            f"{endpoint.name}: none of its {len(records)} reasonings of at most {max_new} tokens holds {MARKER}: raise "
            "config.teacher.max_reasoning, change teacher.md, or ask another model"
        )
    return written


def _write(
    records: Sequence[Record],
    ask: Callable[[Record], tuple[Messages, str]],
    generator: Generator,
    max_new: int,
    report: Report,
) -> dict[str, str]:
    """Record id -> the opening of the model's turn and what it wrote after it."""
    tokenizer = tokenizer_of(generator.model)
    asked = [ask(record) for record in records]
    wanted = [Prompt(chat_ids(tokenizer, messages, opening)) for messages, opening in asked]
    drawn = generator.generate(wanted, Sampler(max_new, generator.model.end_ids), report)
    return {
        record.id: opening + tokenizer.decode(first.ids)
        for record, (_, opening), [first] in zip(records, asked, drawn, strict=True)
    }
