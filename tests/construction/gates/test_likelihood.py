"""Golden replies in their own and in others' contexts, against a tiny model's plain likelihoods."""

import numpy as np
import pytest
from tiny import plain_logprobs, tiny_chat_model

from remid_jax.construction.gates.likelihood import OTHERS, Likelihood, unrelated_contexts
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import responder_ids

GOLDEN = ("Bees, madam.", "No.", "A lamp, perhaps?", "I sail at dawn.", "Yes, three of them.")
RECORDS = [
    Record(f"r{n}", f"Mona {n}.", {"name": "Ada"}, (Turn("user", f"What is it, {n}?"),), golden, "all", lineage)
    for n, (golden, lineage) in enumerate(zip(GOLDEN, ("a", "b", "c", "a", "e"), strict=True))
]
OTHERS_OF = [(1, 2, 4), (0, 2, 3, 4), (0, 1, 3, 4), (1, 2, 4), (0, 1, 2, 3)]  # by hand: 0 and 3 are one lineage


@pytest.fixture(scope="module")
def gains():
    """Of each record: its rate in its own context less the mean over those of other lineages, nats a token."""
    model, prompts = tiny_chat_model(), Prompts.load()

    def rate(reply, context):
        ids = [*model.tokenizer.encode(GOLDEN[reply]), model.tokenizer.end_of_turn_id]
        prefix = responder_ids(model.tokenizer, prompts, RECORDS[context], None)
        return plain_logprobs(model, prefix, ids).mean()

    return [rate(n, n) - np.mean([rate(n, m) for m in others]) for n, others in enumerate(OTHERS_OF)]


def test_replies_that_are_no_likelier_in_their_own_context_are_rejected(gains, manifest, faults):
    engine = ScoringEngine(tiny_chat_model(), Devices(), Store(":memory:"), 1024, 1024)
    wrong = {
        f"r{n}": f"no likelier in its own context: {gain:+.3f} nats a token against {len(OTHERS_OF[n])} others"
        for n, gain in enumerate(gains)
        if gain <= 0
    }
    assert 0 < len(wrong) < len(RECORDS)
    assert min(map(abs, gains)) > 1e-3  # so that rounding decides nothing
    assert faults(Likelihood(engine, Prompts.load()), RECORDS, manifest) == wrong


def test_others_are_of_the_category_and_unrelated_and_not_too_many():
    assert [tuple(sorted(unrelated_contexts(RECORDS, n))) for n in range(len(RECORDS))] == OTHERS_OF
    many = [Record(str(n), "", {}, (), "", ("odd", "even")[n % 2], "one" if n < 4 else "") for n in range(40)]
    assert unrelated_contexts(many, 0) == [4, 6, 8, 10, 12, 14, 16, 18]
    assert unrelated_contexts(many, 37) == [39, 1, 3, 5, 7, 9, 11, 13]
    assert len(unrelated_contexts(many, 20)) == OTHERS
    assert unrelated_contexts(many[:4], 1) == []
