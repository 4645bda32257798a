"""Every family against torch transformers in float32, on tiny random models built so that each mistake would show.

A parity test says little where the mistake it should catch changes nothing: weights at their initial scale give flat
attention and logits near zero, norms of one hide a missing norm. So the models here have peaked attention, wide logits,
random norms and biases; and before a model is compared, mistakes are planted in the reference, each of which must move
its logits by a hundred times the tolerance.
"""

import copy
import dataclasses
import functools
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.models.decoder import NEVER, TokenTree, bind, empty_cache
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model

VOCAB, WINDOW, LONG = 307, 17, 300
TOLERANCE, VISIBLE = 1e-4, 1e-2

SIZES = {"vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "rms_norm_eps": 1e-2,
         "max_position_embeddings": 512, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": None}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 1e4}


def heads(queries, keys, size):
    return {"num_attention_heads": queries, "num_key_value_heads": keys, "head_dim": size}


CONFIGS = {
    "llama, grouped, tied, biases, llama3": lambda: transformers.LlamaConfig(
        **SIZES, **heads(4, 2, 8), tie_word_embeddings=True, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3
    ),
    "llama, one key a query, linear": lambda: transformers.LlamaConfig(**SIZES, **heads(2, 2, 24), rope_parameters=LINEAR),
    "mistral, one key head, window": lambda: transformers.MistralConfig(
        **SIZES, **heads(4, 1, 16), sliding_window=WINDOW, rope_parameters=PLAIN
    ),
    "qwen2, grouped, tied, some windows, yarn": lambda: transformers.Qwen2Config(
        **SIZES, **heads(4, 2, 8), tie_word_embeddings=True, use_sliding_window=True, sliding_window=WINDOW,
        max_window_layers=1, rope_parameters=YARN,
    ),
    "qwen3, wide heads, biases": lambda: transformers.Qwen3Config(
        **SIZES, **heads(4, 2, 16), attention_bias=True, rope_parameters=PLAIN
    ),
    "gemma3, windows, softcap, two ropes": lambda: transformers.Gemma3TextConfig(
        **SIZES | {"num_hidden_layers": 4}, **heads(4, 2, 16), layer_types=["sliding_attention", "full_attention"] * 2,
        sliding_window=WINDOW, query_pre_attn_scalar=20, final_logit_softcapping=6.0,
        rope_parameters={"full_attention": LINEAR, "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}},
    ),
}  # fmt: skip
SLIDING = [name for name in CONFIGS if "window" in name]


def build(config):
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


@functools.cache
def reference(name):
    """The torch model: peaked attention, logits of a standard deviation of 2 and more, nothing at its initial value."""
    torch.manual_seed(0)
    model = build(CONFIGS[name]())
    centre = 0.0 if "gemma" in name else 1.0
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "q_norm" in parameter_name or "k_norm" in parameter_name:
                parameter.normal_(centre + 0.5, 0.3)
            elif "norm" in parameter_name:
                parameter.normal_(centre, 0.3)
            elif "embed" in parameter_name:
                parameter.normal_(0.0, 0.5)
            elif "q_proj.weight" in parameter_name or "k_proj.weight" in parameter_name:
                parameter.normal_(0.0, 0.22)
            elif parameter.ndim == 1:
                parameter.normal_(0.0, 0.15)
            else:
                parameter.normal_(0.0, 0.5 if "lm_head" in parameter_name else 0.25)
    return model


@functools.cache
def ours(name):
    """The same model, by way of the files that transformers saves."""
    with tempfile.TemporaryDirectory() as directory:
        reference(name).save_pretrained(directory)
        model = open_model(directory, "float32")
        assert model.params is not None
    return model


@functools.cache
def ids():
    """300 random ids, among them the first and last of the vocabulary and a run of one id."""
    tokens = np.random.default_rng(0).integers(0, VOCAB, LONG)
    tokens[[0, 5]], tokens[[3, 299]], tokens[8:14] = 0, VOCAB - 1, 7
    return tokens


@torch.no_grad()
def torch_logits(model, length=LONG, **options):
    return model(torch.tensor(ids()[None, :length]), **options).logits[0].numpy()


@functools.partial(jax.jit, static_argnums=0)
def forward(config, params, tokens, tree):
    decoder = bind(config, params)
    hidden = decoder(tokens, tree)[0]
    return hidden, decoder.logits(hidden)


def causal(lengths, width):
    slots = np.arange(width)[None].repeat(len(lengths), 0)
    return TokenTree(slots, np.where(slots < np.array(lengths)[:, None], NEVER, 0))


def gap(a, b):
    return float(np.abs(a - b).max())


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
    if "gemma3" in name:
        made["local theta"] = theta_doubled(model, "sliding_attention")
        made["global theta"] = theta_doubled(model, "full_attention")
        made["scaling"] = scaling_lost(model, "full_attention")
        made["final softcap"] = torch_logits(changed(model, final_logit_softcapping=None))
        made["attention scale"] = torch_logits(changed(model, query_pre_attn_scalar=16))
        made["norm behind attention"] = without(model, "post_attention_layernorm")
        made["norm behind MLP"] = without(model, "post_feedforward_layernorm")
    else:
        made["theta"] = theta_doubled(model)
        if model.config.rope_parameters["rope_type"] != "default":
            made["scaling"] = scaling_lost(model)
    if "windows" in name or "window" in name:
        made["window"] = torch_logits(changed(model, sliding_window=WINDOW + 1))
    if "gemma3" in name or "qwen3" in name:
        made["query norm"] = without(model, "q_norm")
        made["key norm"] = without(model, "k_norm")
    if "biases" in name or "qwen2" in name:
        made["biases"] = biases_lost(model)
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


@pytest.mark.parametrize("name", [SLIDING[0], SLIDING[-1], "llama, one key a query, linear"])
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


@functools.partial(jax.jit, static_argnums=0)
def step(config, params, tokens, tree, cache, start):
    return bind(config, params)(tokens, tree, cache, start)


@pytest.mark.parametrize("name", [SLIDING[0], SLIDING[-1], "qwen3, wide heads, biases"])
def test_prefill_and_decode_equal_the_whole_forward_pass(name):
    """Two prompts, padded to one width, go on behind the padding at positions of their own."""
    model, prompts, width, new = ours(name), np.array([[30], [11]]), 30, 2 * WINDOW
    tokens = np.stack([ids()[: width + new], ids()[100 : 100 + width + new]])
    whole, _ = forward(model.config, model.params, tokens, causal([width + new] * 2, width + new))
    slot = np.arange(width + new)[None]
    real = (slot < prompts) | (slot >= width)
    tree = TokenTree(np.where(slot < width, slot, prompts + slot - width), np.where(real, NEVER, 0))
    cache = empty_cache(model.config, 2, width + new, jnp.dtype("float32"))
    hidden, cache = step(model.config, model.params, tokens[:, :width], tree, cache, 0)
    for row, length in enumerate(prompts[:, 0]):
        assert gap(hidden[row, :length], whole[row, :length]) < TOLERANCE
    for n in range(new):
        at = prompts[:, 0] + n
        hidden, cache = step(model.config, model.params, tokens[[0, 1], at][:, None], tree, cache, width + n)
        assert gap(hidden[:, 0], whole[[0, 1], at]) < TOLERANCE
