"""The engines on real weights: greedy replies are torch's, and bfloat16 stays near float32."""

import numpy as np
import pytest
import torch
import transformers

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.models.loading import open_model
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Draw, Generator, Prompt
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, answer_ids, chat_ids, responder_ids

pytestmark = pytest.mark.usefixtures("optimised_programs")
QUESTIONS = (
    "What is the capital of France?",
    "Write a haiku about rain on a tin roof.",
    "Explain photosynthesis to a child.",
    "Name three birds that cannot fly.",
    "Why did the Roman Empire fall?",
    "Wie heißt die Hauptstadt von Österreich?",
    "Erzähl mir eine kurze Geschichte über einen Fuchs.",
    "Was kocht man im Winter?",
    "¿Cuál es el río más largo de España?",
    "Cuéntame un chiste corto.",
    "¿Qué hago si llueve mañana?",
    "中国最长的河流是什么？",
    "请写一首关于月亮的短诗。",
    "你今天过得怎么样？",
    "日本で一番高い山は何ですか。",
    "猫について短い話をしてください。",
    "朝ごはんは何がいいですか。",
    "한국의 수도는 어디인가요?",
    "비 오는 날에 대해 짧게 써 주세요.",
    "김치는 어떻게 만드나요?",
)
PENALTIES = (1.0, 1.05)
NEW = 64


def test_greedy_replies_are_torchs_token_for_token(smollm2_file, torch_smollm2, tmp_path):
    model = open_model(str(smollm2_file), "float32")
    asked = [chat_ids(model.tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS]
    draws = [Draw(repetition_penalty=penalty) for penalty in PENALTIES]
    replies = Generator(model, Devices(), Store(tmp_path / "store"), rows=40).generate(
        [Prompt(ids, draws) for ids in asked], Sampler(NEW, model.end_ids)
    )
    for d, penalty in enumerate(PENALTIES):
        pairs = zip(asked, replies, strict=True)
        ties = sum(parts_at_a_tie(torch_smollm2, ids, list(drawn[d].ids), penalty) for ids, drawn in pairs)
        print(f"penalty {penalty}: {ties} of {len(asked)} replies part from torch's where its two best are within 1e-3")
        assert ties <= 2


@torch.no_grad()
def parts_at_a_tie(torch_model, prompt, reply, penalty):
    """Whether the reply leaves torch's greedy path, which it may do only where torch's two best tokens differ by < 1e-3.

    One pass over prompt and reply says what torch would have chosen after each prefix: as long as all choices agree, that is
    its own generation.
    """
    ids = torch.tensor([[*prompt, *reply]])
    logits = torch_model(ids).logits[0]
    penalise = transformers.RepetitionPenaltyLogitsProcessor(penalty)
    assert len(reply) == NEW or reply[-1] in (0, 2)
    for step, token in enumerate(reply):
        last = len(prompt) + step
        scores = penalise(ids[:, :last], logits[last - 1 : last])[0]
        if int(scores.argmax()) != token:
            best, second = scores.topk(2).values
            assert best - second < 1e-3, (step, token)
            return True
    return False


def test_bfloat16_stays_near_float32(smollm2_file, tmp_path):
    """docs/protocol.md, rule 4, on golden replies in English, which the model writes (elsewhere .021 to .023 a token)."""
    prompts, benchmark = Prompts.load(), read_benchmark("package:rpgbench_compact/eight")
    records = [record for category in ("IDTest", "Literature", "Gaming") for record in benchmark.test[category]]
    scores = {}
    for dtype in ("float32", "bfloat16"):
        model = open_model(str(smollm2_file), dtype)
        answers = [[Continuation(answer_ids(model.tokenizer, Reply(record.golden)))] for record in records]
        prefixes = [responder_ids(model.tokenizer, prompts, record, None) for record in records]
        requests = [Request(prefix, answer) for prefix, answer in zip(prefixes, answers, strict=True)]
        engine = ScoringEngine(model, Devices(), Store(tmp_path / "store"), 2048, 2048)
        scores[dtype] = np.concatenate([rows[0] for rows in engine.score(requests)])
    gap = scores["bfloat16"] - scores["float32"]
    print(f"{len(gap)} tokens: mean |difference| {np.abs(gap).mean():.4f}, mean {gap.mean():+.5f} nats a token")
    assert np.abs(gap).mean() < 0.02
    assert abs(gap.mean()) < 0.003
