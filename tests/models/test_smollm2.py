"""Real weights: the log-probability of every token of real text, here and in torch, from the same quantised file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from shared_data import load_shared_records

from remid_jax.models.decoder import TokenTree, bind

pytestmark = pytest.mark.usefixtures("optimised_programs")
LENGTH, TOLERANCE = 128, 1e-3
TEXTS = {
    "English": """The night ferry left Dover at 11:45 with 312 passengers, two of whom had never meant to be on board. "You
can't sit there," said the steward, "that is the captain's chair."\n\n1. Find the captain.\n2. Apologise.\n3. Ask him -
politely! - how far it is to Calais, and whether the fog, which had been thickening since dusk, would lift before morning.""",
    "German": """Als Gregor gegen sechs Uhr früh aufstand, roch die ganze Küche schon nach Äpfeln, Zimt und ein wenig nach Ruß.
»Wer hat denn heute Nacht den Ofen geschürt?«, fragte er, doch niemand außer der Katze hörte zu. Draußen fiel Schnee.""",
    "Spanish": """¿Dónde estabas anoche? Te esperé en la plaza hasta las 23:30, debajo del reloj, como un idiota, con las
entradas en el bolsillo. Mañana sale el último tren hacia Cádiz; si quieres, todavía puedes venir conmigo y olvidar todo.""",
    "Chinese": """老船长把怀表放在桌上,说:“今晚的风向变了,我们最好在天亮以前离开港口。”
年轻的水手没有回答,只是看着窗外的灯塔,想起母亲做的饭。""",
    "Japanese": """駅前の小さな喫茶店で、彼女は毎朝8時に同じ席に座って手紙を書いていた。
「誰に宛てているんですか」と聞くと、彼女は笑って首を振った。""",
    "Korean": """비가 그친 뒤에도 할머니는 마당에 나오지 않으셨다. 나는 부엌에서 된장찌개를 끓이며
3년 전 그 여름을 떠올렸다. “오늘은 뭐 먹을까?”""",
}


@functools.partial(jax.jit, static_argnums=0)
def forward(config, params, tokens, lengths):
    slots = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    decoder = bind(config, params)
    hidden = decoder(tokens, TokenTree(slots, jnp.where(slots < lengths[:, None], tokens.shape[1], 0)))
    logprobs = jax.nn.log_softmax(decoder.logits(hidden[:, :-1]))
    return jnp.take_along_axis(logprobs, tokens[:, 1:, None], axis=2)[:, :, 0]


@torch.no_grad()
def torch_logprobs(model, ids):
    tokens = torch.tensor([ids])
    logprobs = torch.log_softmax(model(tokens).logits[0, :-1].double(), dim=-1)
    return logprobs.gather(1, tokens[0, 1:, None])[:, 0].numpy()


def assert_same_logprobs(smollm2, torch_smollm2, texts):
    """Six texts at a time: one shape, so one compilation."""
    config, params, _ = smollm2
    assert len(texts) == 6
    lengths = np.array([len(ids) for ids in texts])
    tokens = np.zeros((6, LENGTH), np.int32)
    for row, ids in zip(tokens, texts, strict=True):
        row[: len(ids)] = ids
    found = np.asarray(forward(config, params, tokens, lengths))
    for row, ids in zip(found, texts, strict=True):
        expected = torch_logprobs(torch_smollm2, ids)
        assert expected.std() > 1  # real text, not one flat guess
        np.testing.assert_allclose(row[: len(ids) - 1], expected, atol=TOLERANCE, rtol=0)


def test_logprobs_of_six_languages(smollm2, torch_smollm2):
    texts = [smollm2[2].encode(text)[:LENGTH] for text in TEXTS.values()]
    assert min(map(len, texts)) > 60
    assert_same_logprobs(smollm2, torch_smollm2, texts)


def test_logprobs_of_real_dialogues(smollm2, torch_smollm2):
    """Three as text, three as chats."""
    tokenizer, texts = smollm2[2], []
    for language in ("en", "zh", "fr", "ja", "ko", "it"):
        record = load_shared_records(language)[0]
        turns = [{"role": "user" if turn.speaker == "user" else "assistant", "content": turn.text} for turn in record.dialogue]
        text = " ".join(turn["content"] for turn in turns)
        texts.append((tokenizer.encode(text) if len(texts) < 3 else tokenizer.encode_chat(turns))[:LENGTH])
    assert_same_logprobs(smollm2, torch_smollm2, texts)
