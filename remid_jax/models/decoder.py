"""One decoder for every supported family, its layers stacked and scanned, so compile time does not grow with depth.

The forward pass sees *token trees*: a row may hold a prompt and many continuations, or unrelated short texts side by side.
Two integers a token say it all (`TokenTree`), and one rule decides who sees whom, in scoring, sampling and training alike:

    the token in slot t sees the token in slot s   iff   s <= t < ends[s]

A plain causal row has ends = T everywhere; padding has ends = 0 and is seen by nobody.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from remid_jax.models.attention.attend import attend
from remid_jax.models.attention.triangle import capped
from remid_jax.models.attention.visibility import UNLIMITED
from remid_jax.models.config import DecoderConfig, LoRAConfig
from remid_jax.models.lora import Keys, LoRA, fold_in
from remid_jax.models.matrices import contract, project, rounded
from remid_jax.models.rope import angles, rotate


class TokenTree(NamedTuple):
    """Where each slot of a row stands: `positions` counts from the root of its tree, `ends` closes its subtree."""

    positions: Int[Array, "B S"]
    ends: Int[Array, "B S"]


class Linear(nnx.Module):
    """x @ kernel (+ bias) (+ adapter); float32 out. `weights_first`: see `remid_jax.models.matrices.turned`."""

    def __init__(self, inputs: int, outputs: int, bias: bool, target: str, adapter: LoRAConfig | None, rngs: nnx.Rngs):
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (inputs, outputs)) / inputs**0.5)
        self.bias = nnx.Param(jnp.zeros((outputs,))) if bias else None
        self.lora = LoRA(inputs, outputs, target, adapter, rngs) if adapter and target in adapter.targets else None
        self.weights_first = False

    def __call__(self, x: Float[Array, "B T inputs"], dropout: Keys = None) -> Float[Array, "B T outputs"]:
        y = project(x, self.kernel[...], self.weights_first)
        if self.bias is not None:
            y = y + self.bias[...].astype(jnp.float32)
        return y if self.lora is None else y + self.lora(x, dropout)


class RMSNorm(nnx.Module):
    """x / rms(x) * (offset + scale), in float32."""

    def __init__(self, size: int, eps: float, offset: float):
        self.scale = nnx.Param(jnp.full((size,), 1.0 - offset))
        self.eps, self.offset = eps, offset

    def __call__(self, x: Array) -> Array:
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.eps)
        return x * (self.offset + self.scale[...].astype(jnp.float32))


class Attention(nnx.Module):
    """Grouped-query attention over token trees."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        c, queries, keys = config, config.heads * config.head_size, config.kv_heads * config.head_size
        self.query = Linear(c.width, queries, c.qkv_bias, "query", c.adapter, rngs)
        self.key = Linear(c.width, keys, c.qkv_bias, "key", c.adapter, rngs)
        self.value = Linear(c.width, keys, c.qkv_bias, "value", c.adapter, rngs)
        self.output = Linear(queries, c.width, c.output_bias, "output", c.adapter, rngs)
        sizes = (queries, keys) if c.whole_qk_norm else (c.head_size, c.head_size)
        self.query_norm, self.key_norm = (RMSNorm(n, c.norm_eps, c.norm_offset) if c.qk_norm else None for n in sizes)
        self.whole_qk_norm = c.whole_qk_norm
        self.heads, self.kv_heads, self.head_size = c.heads, c.kv_heads, c.head_size
        self.scale, self.softcap = c.attention_scale or c.head_size**-0.5, c.attention_softcap

    def project(self, x: Float[Array, "B T D"], cos: Array, sin: Array, dropout: Keys = None) -> tuple[Array, Array, Array]:
        """Rotated queries [B, N, T, H] and keys [B, K, T, H], and values like keys, in the weights' dtype."""
        b, t, _ = x.shape
        q, k, v = self.query(x, dropout), self.key(x, dropout), self.value(x, dropout)
        if self.query_norm is not None and self.key_norm is not None and self.whole_qk_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        q = q.reshape(b, t, self.heads, self.head_size)
        k, v = (a.reshape(b, t, self.kv_heads, self.head_size) for a in (k, v))
        if self.query_norm is not None and self.key_norm is not None and not self.whole_qk_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        dtype = self.query.kernel.dtype
        q, k, v = (rounded(a, dtype).swapaxes(1, 2) for a in (rotate(q, cos, sin), rotate(k, cos, sin), v))
        return q, k, v

    def attend(
        self,
        q: Float[Array, "B N T H"],
        k: Float[Array, "B K T H"],
        v: Float[Array, "B K T H"],
        tree: TokenTree,
        window: Int[Array, ""] | None,
    ) -> Float[Array, "B T NH"]:
        """What each token takes from those it sees, the heads side by side, before the output projection."""
        return attend(q, k, v, tree.positions, tree.ends, window, self.scale, self.softcap)

    def attend_cached(
        self, q: Float[Array, "R N 1 H"], keys: Float[Array, "R K H S"], values: Float[Array, "R K S H"],
        visible: Bool[Array, "R S"],
    ) -> Float[Array, "R 1 NH"]:  # fmt: skip
        """As `attend`, for one new token a row. Keys with their slots last: twice as fast on CPU in float32."""
        q = q.reshape(len(q), self.kv_heads, -1, self.head_size)
        logits = capped(contract("rkmh,rkhs->rkms", q, keys), self.scale, self.softcap)
        weights = jax.nn.softmax(jnp.where(visible[:, None, None], logits, jnp.finfo(jnp.float32).min), axis=-1)
        weights = rounded(weights, self.query.kernel.dtype)  # as `attend` rounds them, in whatever dtype the values are kept
        return contract("rkms,rksh->rkmh", weights, values).reshape(len(q), 1, self.heads * self.head_size)


class MLP(nnx.Module):
    """down(activation(gate(x)) * up(x))."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        c = config
        self.gate = Linear(c.width, c.mlp_width, c.mlp_bias, "gate", c.adapter, rngs)
        self.up = Linear(c.width, c.mlp_width, c.mlp_bias, "up", c.adapter, rngs)
        self.down = Linear(c.mlp_width, c.width, c.mlp_bias, "down", c.adapter, rngs)
        self.activation = c.activation

    def __call__(self, x: Float[Array, "B T D"], dropout: Keys = None) -> Float[Array, "B T D"]:
        activate = (
            jax.nn.silu
            if self.activation == "silu"
            else functools.partial(jax.nn.gelu, approximate=self.activation == "gelu_tanh")
        )
        return self.down(activate(self.gate(x, dropout)) * self.up(x, dropout), dropout)


class Layer(nnx.Module):
    """Attention and MLP on a float32 residual stream, each behind a norm, before one (OLMo), or between two (Gemma)."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        def norm() -> RMSNorm:
            return RMSNorm(config.width, config.norm_eps, config.norm_offset)

        self.attention_norm, self.mlp_norm = (norm() if config.pre_norms else None for _ in range(2))
        self.attention, self.mlp = Attention(config, rngs), MLP(config, rngs)
        self.attention_post_norm, self.mlp_post_norm = (norm() if config.post_norms else None for _ in range(2))
        self.residual_scale = config.residual_scale

    def project(self, x: Float[Array, "B T D"], cos: Array, sin: Array, dropout: Keys) -> tuple[Array, Array, Array]:
        return self.attention.project(x if self.attention_norm is None else self.attention_norm(x), cos, sin, dropout)

    def add_attention(self, x: Float[Array, "B T D"], mixed: Float[Array, "B T NH"], dropout: Keys) -> Float[Array, "B T D"]:
        y = self.attention.output(mixed, dropout)
        return self._add(x, y if self.attention_post_norm is None else self.attention_post_norm(y))

    def add_mlp(self, x: Float[Array, "B T D"], dropout: Keys) -> Float[Array, "B T D"]:
        y = self.mlp(x if self.mlp_norm is None else self.mlp_norm(x), dropout)
        return self._add(x, y if self.mlp_post_norm is None else self.mlp_post_norm(y))

    def _add(self, x: Float[Array, "B T D"], y: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        return x + (y if self.residual_scale == 1 else y * self.residual_scale)


class Decoder(nnx.Module):
    """Token ids to hidden states, and hidden states to float32 logits."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        self.config = config
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (config.vocab_size, config.width)) * 0.02)
        stack = nnx.vmap(lambda keys: Layer(config, nnx.Rngs(params=keys)), in_axes=0, out_axes=0)
        self.layers = stack(jax.random.split(rngs.params(), config.layers))
        self.final_norm = RMSNorm(config.width, config.norm_eps, config.norm_offset)
        self.head = (
            None
            if config.tied_embeddings
            else nnx.Param(jax.random.normal(rngs.params(), (config.vocab_size, config.width)) * 0.02)
        )

    def __call__(self, tokens: Int[Array, "B T"], tree: TokenTree, dropout: Keys = None) -> Float[Array, "B T D"]:
        """Final hidden states of `tokens`.

        `dropout`, one key a row, drops inputs of the adapters; without it nothing is dropped. Gradients keep one residual
        stream a layer and compute the rest again.
        """
        return self._run(tokens, tree, dropout, keep=False)[0]

    def with_keys(
        self, tokens: Int[Array, "B T"], tree: TokenTree
    ) -> tuple[Float[Array, "B T D"], Float[Array, "L B K T H"], Float[Array, "L B K T H"]]:
        """Final hidden states of `tokens`, and every layer's keys and values, in the weights' dtype."""
        hidden, (keys, values) = self._run(tokens, tree, None, keep=True)
        return hidden, keys, values

    def _run(self, tokens: Array, tree: TokenTree, dropout: Keys, keep: bool) -> tuple[Array, Any]:
        c = self.config
        turns = [angles(c.rope, c.head_size, tree.positions)]
        if c.has_sliding_layers:
            turns.append(angles(c.local_rope or c.rope, c.head_size, tree.positions))
        graphdef, weights = nnx.split(self.layers)
        sliding = jnp.array(c.sliding_layers if c.has_sliding_layers else (False,) * c.layers)
        turned = jnp.array(c.turned_layers) if c.turned_layers else None

        def step(x: Array, scanned: tuple[nnx.State, Array, Array]):
            state, is_sliding, index = scanned
            layer = nnx.merge(graphdef, state)
            keys_here = None if dropout is None else fold_in(dropout, index)
            cos, sin = turns[0] if len(turns) == 1 else jax.tree.map(lambda a, b: jnp.where(is_sliding, b, a), *turns)
            if turned is not None:
                cos, sin = jnp.where(turned[index], cos, 1.0), jnp.where(turned[index], sin, 0.0)
            q, k, v = layer.project(x, cos, sin, keys_here)
            mixed = layer.attention.attend(q, k, v, tree, self._window(is_sliding))
            return layer.add_mlp(layer.add_attention(x, mixed, keys_here), keys_here), (k, v) if keep else None

        again = jax.checkpoint(step, prevent_cse=False)  # the scan keeps the two passes apart by itself
        x, kept = jax.lax.scan(again, self.embed(tokens), (weights, sliding, jnp.arange(c.layers)))
        return self.final_norm(x), kept

    def embed(self, tokens: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """The residual stream before the first layer."""
        return self.embedding[...][tokens].astype(jnp.float32) * self.config.embedding_scale

    def _window(self, is_sliding: Bool[Array, ""]) -> Int[Array, ""] | None:
        """How many positions back a layer sees; None in models without sliding layers."""
        window = self.config.sliding_window
        return None if window is None or not self.config.has_sliding_layers else jnp.where(is_sliding, window, UNLIMITED)

    def logits(self, hidden: Float[Array, "*shape D"], weights_first: bool = False) -> Float[Array, "*shape V"]:
        """As `logits_of`, of all words."""
        return logits_of(self.config, hidden, self.words, weights_first)

    @property
    def words(self) -> Float[Array, "V D"]:
        """The head's weights, in tied models the embedding's."""
        return (self.embedding if self.head is None else self.head)[...]


def logits_of(
    config: DecoderConfig, hidden: Float[Array, "*shape D"], words: Float[Array, "V D"], weights_first: bool = False
) -> Float[Array, "*shape V"]:
    """Next-token logits of these words, float32. `weights_first`: see `remid_jax.models.matrices.turned`."""
    logits = project(hidden, words, True) if weights_first else contract("...d,vd->...v", hidden, words)
    logits = logits if config.logit_divisor == 1 else logits / config.logit_divisor
    cap = config.final_softcap
    return logits if cap is None else jnp.tanh(logits / cap) * cap


@functools.lru_cache(maxsize=16)
def structure(config: DecoderConfig) -> tuple[nnx.GraphDef, nnx.State]:
    """The decoder's graph definition and the shapes of its parameters, without allocating any."""
    return nnx.split(nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(0))))


def bind(config: DecoderConfig, params: nnx.State) -> Decoder:
    """The decoder with these parameters: how a pure, jitted function turns (config, params) back into a model."""
    return nnx.merge(structure(config)[0], params)
