"""Every family against torch transformers in float32, on tiny random models built so that each mistake would show.

A parity test says little where the mistake it should catch changes nothing: so before a model is compared, mistakes are
planted in the reference, each of which must move its logits by a hundred times the tolerance.
"""

import copy
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from family_models import (
    CONFIGS,
    LONG,
    TOLERANCE,
    VOCAB,
    WINDOW,
    build,
    causal,
    forward,
    gap,
    ids,
    ours,
    reference,
    torch_logits,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import NEVER

from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.decoding import Cache, decode_tokens, unstacked
from remid_jax.models.loading import open_model
from remid_jax.models.sampling import Prompts, encode
from remid_jax.models.saving import save_model

VISIBLE = 1e-2
PACKED = [
    "smollm3, tied, biases, some unturned, windows",
    "olmo3, windows, two ropes",
    "phi3, grouped, partial, longrope, window",
]

# ----------------------------------------------------------------------------------------------------------------- parity


def changed(model, **traits):
    """The model with the same weights and another config."""
    other = build(type(model.config).from_dict({**model.config.to_dict(), **traits}))
    other.load_state_dict(model.state_dict())
    return other


def theta_doubled(model, kind=None):
    ropes = copy.deepcopy(model.config.rope_parameters)
    (ropes[kind] if kind else ropes)["rope_theta"] *= 2
    return torch_logits(changed(model, rope_parameters=ropes))


def scaling_lost(model, kind=None):
    ropes = copy.deepcopy(model.config.rope_parameters)
    plain = {"rope_type": "default", "rope_theta": 1e4}
    return torch_logits(changed(model, rope_parameters={**ropes, kind: plain} if kind else plain))


def gate_and_up_swapped(model):
    other = copy.deepcopy(model)
    for layer in other.model.layers:
        if "phi3" in model.config.model_type:
            layer.mlp.gate_up_proj.weight.data = layer.mlp.gate_up_proj.weight.roll(model.config.intermediate_size, 0)
        else:
            layer.mlp.gate_proj, layer.mlp.up_proj = layer.mlp.up_proj, layer.mlp.gate_proj
    return torch_logits(other)


def without(model, *modules):
    other = copy.deepcopy(model)
    for layer in other.model.layers:
        for module in modules:
            setattr(layer.self_attn if module in ("q_norm", "k_norm") else layer, module, torch.nn.Identity())
    return torch_logits(other)


def one_token_ahead(model):
    mask = torch.full((LONG, LONG), torch.finfo(torch.float32).min).triu(2)[None, None]
    kinds = getattr(model.config, "layer_types", None) or []
    return torch_logits(model, attention_mask=dict.fromkeys(kinds, mask) if kinds else mask)


def biases_lost(model):
    other = copy.deepcopy(model)
    for name, parameter in other.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    return torch_logits(other)


def mistakes(name):
    """Logits of the reference after each mistake that the family gives occasion to."""
    model = reference(name)
    made = {
        "eps": torch_logits(changed(model, rms_norm_eps=model.config.rms_norm_eps * 10)),
        "gate and up": gate_and_up_swapped(model),
        "causal mask": one_token_ahead(model),
    }
    config = model.config
    if "two ropes" in name:
        made["local theta"] = theta_doubled(model, "sliding_attention")
        made["global theta"] = theta_doubled(model, "full_attention")
        made["scaling"] = scaling_lost(model, "full_attention")
    else:
        made["theta"] = theta_doubled(model)
        if config.rope_parameters["rope_type"] != "default":
            made["scaling"] = scaling_lost(model)
    if "gemma3" in name:
        made["final softcap"] = torch_logits(changed(model, final_logit_softcapping=None))
        made["attention scale"] = torch_logits(changed(model, query_pre_attn_scalar=16))
    if "gemma3" in name or "olmo" in name:
        made["norm behind attention"] = without(model, "post_attention_layernorm")
        made["norm behind MLP"] = without(model, "post_feedforward_layernorm")
    if "window" in name:
        made["window"] = torch_logits(changed(model, sliding_window=WINDOW + 1))
    if "gemma3" in name or "qwen3" in name or "olmo" in name:
        made["query norm"] = without(model, "q_norm")
        made["key norm"] = without(model, "k_norm")
    if "biases" in name or "qwen2" in name:
        made["biases"] = biases_lost(model)
    if "unturned" in name:
        made["turned"] = torch_logits(changed(model, no_rope_layers=[1] * config.num_hidden_layers))
    if "granite" in name:
        for key in ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"):
            made[key] = torch_logits(changed(model, **{key: getattr(config, key) * 1.25}))
    if "partial" in name:
        ropes = copy.deepcopy(config.rope_parameters) | {"partial_rotary_factor": 0.5}
        ropes |= {key: ropes[key][:4] for key in ("short_factor", "long_factor") if key in ropes}
        made["rotated"] = torch_logits(changed(model, rope_parameters=ropes))
    return made


@pytest.mark.parametrize("name", CONFIGS)
def test_the_reference_would_show_a_mistake(name):
    model = reference(name)
    expected = torch_logits(model)
    assert expected.std() >= 2
    with torch.no_grad():
        weights = torch.stack(model(torch.tensor(ids()[None]), output_attentions=True).attentions)
    assert weights[..., 10:, :].max() > 0.5  # where there are ten tokens and more to choose from
    moved = {mistake: gap(logits, expected) for mistake, logits in mistakes(name).items()}
    assert min(moved.values()) > VISIBLE, moved


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_those_of_torch_for_every_length(name):
    model, lengths = ours(name), [1, WINDOW - 1, WINDOW, WINDOW + 1, LONG]
    tokens = np.where(np.arange(LONG) < np.array(lengths)[:, None], ids(), 0)
    _, found = forward(model.config, model.params, tokens, causal(lengths, LONG))
    for row, length in enumerate(lengths):
        assert gap(found[row, :length], torch_logits(reference(name), length)) < TOLERANCE


@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1])
def test_short_rows_need_no_padding(length):
    name = "gemma3, windows, softcap, two ropes"
    model = ours(name)
    _, found = forward(model.config, model.params, ids()[None, :length], causal([length], length))
    assert gap(found[0], torch_logits(reference(name), length)) < TOLERANCE


@pytest.mark.parametrize("name", CONFIGS)
def test_what_we_save_opens_in_torch_with_the_same_logits(name, tmp_path):
    save_model(tmp_path, ours(name).config, ours(name).params, None)
    opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert type(opened) is type(reference(name))
    assert gap(torch_logits(opened), torch_logits(reference(name))) < TOLERANCE
    assert open_model(str(tmp_path), "float32").config == ours(name).config


def test_gemma3_leaves_its_attention_softcap_unused_as_transformers_does():
    name = "gemma3, windows, softcap, two ropes"
    capped = changed(reference(name), attn_logit_softcapping=2.0)
    assert gap(torch_logits(capped), torch_logits(reference(name))) == 0
    expected = torch_logits(reference(name), softcap=2.0)  # what its attention would do with the cap, were it handed on
    assert gap(expected, torch_logits(reference(name))) > VISIBLE
    config = dataclasses.replace(ours(name).config, attention_softcap=2.0)
    _, found = forward(config, ours(name).params, ids()[None], causal([LONG], LONG))
    assert gap(found[0], expected) < TOLERANCE


def test_bfloat16_survives_saving_bit_by_bit_and_stays_near_float32(tmp_path):
    name = "qwen3, wide heads, biases"
    reference(name).save_pretrained(tmp_path / "torch")
    model = open_model(str(tmp_path / "torch"), "bfloat16")
    save_model(tmp_path / "ours", model.config, model.params, None)
    again = open_model(str(tmp_path / "ours"), "bfloat16")
    assert jax.tree.all(jax.tree.map(lambda a, b: a.dtype == jnp.bfloat16 and bool((a == b).all()), model.params, again.params))
    opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert opened.dtype == torch.bfloat16
    for key, value in opened.state_dict().items():
        assert torch.equal(value, reference(name).state_dict()[key].to(torch.bfloat16)), key


# ------------------------------------------------------------------------------------------------------------ token trees


@st.composite
def trees(draw):
    """A tree of segments in depth-first order: (parent, length) each, at most 128 tokens in all."""
    lengths = draw(st.lists(st.integers(1, 40), min_size=2, max_size=6))
    while sum(lengths) > 128:
        lengths.pop()
    parents = [-1]
    for _ in lengths[1:]:
        chain = [len(parents) - 1]  # depth first: a segment hangs on the one before it, or on one of that one's ancestors
        while chain[-1] != -1:
            chain.append(parents[chain[-1]])
        parents.append(draw(st.sampled_from(chain)))
    return list(zip(parents, lengths, strict=True))


@pytest.mark.parametrize(
    "name", ["mistral, one key head, window", "gemma3, windows, softcap, two ropes", "llama, one key a query, linear", *PACKED]
)
@settings(max_examples=15, deadline=None)
@given(tree=trees(), seed=st.integers(0, 2**32 - 1))
def test_a_packed_tree_equals_its_branches_alone(name, tree, seed):
    width, model = 128, ours(name)
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, VOCAB, length) for _, length in tree]
    starts = np.cumsum([0] + [length for _, length in tree])
    tokens, positions, ends = np.zeros((7, width), int), np.zeros((7, width), int), np.zeros((7, width), int)
    branches = []
    for n, (parent, length) in enumerate(tree):
        prefix = branches[parent] if parent >= 0 else np.array([], int)
        branches.append(np.concatenate([prefix, texts[n]]))
        last = max([n] + [m for m in range(n, len(tree)) if n in ancestors(tree, m)])
        slots = slice(starts[n], starts[n + 1])
        tokens[0, slots] = texts[n]
        positions[0, slots] = len(prefix) + np.arange(length)
        ends[0, slots] = starts[last + 1]
        alone = slice(0, len(branches[n]))
        tokens[n + 1, alone], positions[n + 1, alone], ends[n + 1, alone] = branches[n], np.arange(len(branches[n])), NEVER
    hidden, _ = forward(model.config, model.params, tokens, TokenTree(positions, ends))
    for n, (_, length) in enumerate(tree):
        alone = hidden[n + 1, len(branches[n]) - length : len(branches[n])]
        assert gap(hidden[0, starts[n] : starts[n + 1]], alone) < TOLERANCE


def ancestors(tree, segment):
    while (segment := tree[segment][0]) >= 0:
        yield segment


# ------------------------------------------------------------------------------------------------------------------ cache


@functools.partial(jax.jit, static_argnums=(0, 1))
def encoded(config, slots, params, prompts):
    return encode(config, slots, params, prompts)


@functools.partial(jax.jit, static_argnums=0)
def step(config, params, layers, cache, tokens, slots):
    return decode_tokens(bind(config, params), layers, cache, tokens, slots)


@pytest.mark.parametrize(
    "name", ["mistral, one key head, window", "gemma3, windows, softcap, two ropes", "qwen3, wide heads, biases", *PACKED]
)
def test_prefill_and_decode_equal_the_whole_forward_pass(name):
    """Two prompts, filled up to one width, go on in slots of their own."""
    model, prompts, width, new = ours(name), np.array([30, 11], np.int32), 30, 2 * WINDOW
    tokens = np.stack([ids()[: width + new], ids()[100 : 100 + width + new]])
    _, whole = forward(model.config, model.params, tokens, causal([width + new] * 2, width + new))
    slot = np.broadcast_to(np.arange(width, dtype=np.int32), (2, width))
    owners = np.where(slot < prompts[:, None], 0, 1)
    batch = Prompts(tokens[:, :width], slot, np.repeat(prompts[:, None], width, 1), owners, prompts[:, None] - 1)
    start = encoded(model.config, new, model.params, jax.tree.map(jnp.asarray, batch))
    for row, length in enumerate(prompts):
        assert gap(start.logits[row, 0], whole[row, length - 1]) < TOLERANCE
        assert set(np.flatnonzero(start.seen[row, 0])) == set(tokens[row, :length].tolist())
    cache = Cache(*(tuple(jnp.moveaxis(a, 1, 0)) for a in (start.keys, start.values)))
    layers = unstacked(model.config, model.params)
    for n in range(new):
        at = prompts + n
        logits, cache = step(model.config, model.params, layers, cache, jnp.asarray(tokens[[0, 1], at]), jnp.asarray(at))
        assert gap(logits, whole[[0, 1], at]) < TOLERANCE
