"""What a policy says in an evaluation, and which records are too long for it."""

from __future__ import annotations

from collections.abc import Sequence

from remid_jax.dialogues.parsing import reply_text, thought_reply
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.endpoints.chat import Chat, ChatReply, Endpoint, Sampling, all_replies
from remid_jax.models.sampling import Sampler
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.progress import Advance
from remid_jax.scoring.engine import Report
from remid_jax.scoring.generation import Draw, Generator, Prompt, Sample, record_key
from remid_jax.scoring.texts import Reply, chat_ids, heard, ready, responder_ids, tokenizer_of


def too_long(
    records: Sequence[Record], prompts: Prompts, estimator: Tokenizer, policy: Tokenizer, limit: int, thinking: bool = False
) -> dict[str, int]:
    """Records of which a prompt, before any reasoning, or the golden reply exceeds `limit` tokens: id -> tokens."""
    longest: dict[str, int] = {}
    for record in records:
        reasoner, opening = prompts.reasoner(record)
        lengths = (
            len(chat_ids(estimator, reasoner, opening)),
            len(responder_ids(estimator, prompts, record, None)),
            len(chat_ids(policy, prompts.policy(record, thinking))),
            len(estimator.encode(record.golden)),
        )
        if max(lengths) > limit:
            longest[record.id] = max(lengths)
    return longest


def respond(
    records: Sequence[Record],
    prompts: Prompts,
    generator: Generator,
    max_new: int,
    repetition_penalty: float,
    self_samples: int,
    seed: int,
    report: Report,
    thinking: bool = False,
) -> tuple[dict[str, Reply], dict[str, list[Sample]]]:
    """The policy's greedy replies, and plain samples of its own kernel (docs/protocol.md, rule 12).

    Greedy decoding is docs/metric.md, section 7 (Policies). The samples are drawn at temperature 1, nothing filtered, nothing
    penalised. A policy that reasons before its reply, in our tags (`thinking`) or natively, should be asked for no samples:
    they would be of its reasonings.
    """
    tokenizer = tokenizer_of(generator.model)
    greedy = Draw(repetition_penalty=repetition_penalty)
    asked = [
        Prompt(
            chat_ids(tokenizer, prompts.policy(record, thinking)),
            [greedy, *(Draw(1.0, key=record_key(seed, "self_information", record.id, n)) for n in range(self_samples))],
        )
        for record in records
    ]
    drawn = generator.generate(asked, Sampler(max_new, generator.model.end_ids), report)
    said = {record.id: drawn for record, drawn in zip(records, drawn, strict=True)}
    replies = {name: reply_of(tokenizer, first.ids, first.finish == "end", thinking) for name, (first, *_) in said.items()}
    return replies, {name: samples[1:] for name, samples in said.items()}


def respond_through(
    records: Sequence[Record],
    prompts: Prompts,
    endpoint: Endpoint,
    tokenizer: Tokenizer,
    max_new: int,
    report: Advance,
    thinking: bool = False,
) -> dict[str, Reply]:
    """Returns the replies of a policy that answers through an endpoint, at temperature 0, by record.

    There is no repetition penalty, which the protocol of endpoints does not know. Thoughts are counted in the `tokenizer`'s
    tokens.

    Raises:
      UserError: if a reply is missing (see `all_replies`).
    """
    chats = [Chat(prompts.policy(record, thinking), Sampling(max_new)) for record in records]
    replies = all_replies(endpoint, chats, report)
    return {record.id: _heard_from(tokenizer, reply, thinking) for record, [reply] in zip(records, replies, strict=True)}


def _heard_from(tokenizer: Tokenizer, reply: ChatReply, thinking: bool) -> Reply:
    """What an endpoint said, read as `reply_of` reads ids."""
    spoken, ended = ready(tokenizer, reply.text), reply.finish == "stop"
    said, closed = thought_reply(spoken.text) if thinking else (reply_text(spoken.text), False)
    return Reply(said, ended or closed or not said, spoken.thought)


def reply_of(tokenizer: Tokenizer, ids: Sequence[int], ended: bool, thinking: bool = False) -> Reply:
    """What a policy said in the ids it wrote, without what it thought.

    Of a `thinking` policy what stands between our tags alone. Whoever came no further than a thought said nothing, and ended.
    """
    text, thought = heard(tokenizer, ids)
    if not thinking:
        cut = thought is not None and not thought.ended
        said = "" if cut else reply_text(text)
        return Reply(said, ended or not said, thought)  # who said nothing has ended: an answer has at least one token
    said, closed = thought_reply(text)
    return Reply(said, ended or closed or not said, thought)
