"""Tiny random torch models of every family, built so that each mistake would show, and the same ones here.

Weights at their initial scale give flat attention and logits near zero, norms of one hide a missing norm: so these have peaked
attention, wide logits, random norms and biases.
"""

import functools
import tempfile

import jax
import numpy as np
import torch
import transformers
from tiny import NEVER

from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.loading import open_model

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
    "smollm3, tied, biases, some unturned, windows": lambda: transformers.SmolLM3Config(
        **SIZES | {"num_hidden_layers": 4}, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        attention_bias=True, mlp_bias=True, no_rope_layers=[1, 0, 1, 0], use_sliding_window=True, sliding_window=WINDOW,
        rope_parameters=PLAIN,
    ),
    "olmo2, grouped, biases, llama3": lambda: transformers.Olmo2Config(
        **SIZES, num_attention_heads=4, num_key_value_heads=2, attention_bias=True, rope_parameters=LLAMA3
    ),
    "olmo3, windows, two ropes": lambda: transformers.Olmo3Config(
        **SIZES | {"num_hidden_layers": 4}, num_attention_heads=4, num_key_value_heads=2, sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"] * 2, rope_parameters={
            "full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}
        },
    ),
    "granite, grouped, tied, biases": lambda: transformers.GraniteConfig(
        **SIZES, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
        embedding_multiplier=3.0, residual_multiplier=0.6, attention_multiplier=0.2, logits_scaling=1.5, rope_parameters=PLAIN,
    ),
    "phi3, whole heads": lambda: transformers.Phi3Config(
        **SIZES, num_attention_heads=4, num_key_value_heads=4, original_max_position_embeddings=512, rope_parameters=PLAIN
    ),
    "phi3, grouped, partial, longrope, window": lambda: transformers.Phi3Config(
        **SIZES | {"max_position_embeddings": 2048}, num_attention_heads=2, num_key_value_heads=1, sliding_window=WINDOW,
        original_max_position_embeddings=512, rope_parameters={
            "rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75,
            "short_factor": [1.0, 1.1, 1.3, 1.7, 2.1, 2.9], "long_factor": [4.0, 4.4, 5.2, 6.8, 8.4, 11.6],
        },
    ),
}  # fmt: skip


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
    hidden = decoder(tokens, tree)
    return hidden, decoder.logits(hidden)


def causal(lengths, width):
    slots = np.arange(width)[None].repeat(len(lengths), 0)
    return TokenTree(slots, np.where(slots < np.array(lengths)[:, None], NEVER, 0))


def gap(a, b):
    return float(np.abs(a - b).max())
