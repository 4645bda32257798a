"""The architecture of a decoder, as plain data: everything the forward pass needs to know, and nothing about files."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


def _later(default: Any) -> Any:
    """A trait that models had before it was known here, all with this value: not part of what describes them."""
    return dataclasses.field(default=default, metadata={"later": True})


@dataclasses.dataclass(frozen=True)
class Rope:
    """Rotary position embedding: base frequency and, where the model was stretched to longer contexts, how.

    `scaling` None is the plain rotary embedding of RoFormer (arXiv 2104.09864). The parameters of the scalings are those
    of Hugging Face's `rope_scaling`: `linear` uses `factor`; `llama3` uses `factor`, `low_frequency_factor`,
    `high_frequency_factor`, `original_positions`; `yarn` (arXiv 2309.00071) uses `factor`, `beta_fast`, `beta_slow`,
    `original_positions`, `truncate`, and multiplies cosines and sines by `attention_factor`; so does `longrope` (arXiv
    2402.13753), which divides each frequency by its own of `short_factors`, in texts of up to `original_positions` tokens.
    Longer ones would take `long_factors` and are refused: a text's numbers would depend on the length of its answer.
    `rotated` is the share of each head that is turned at all, its first dimensions.
    """

    theta: float = 10_000.0
    scaling: Literal["linear", "llama3", "yarn", "longrope"] | None = None
    factor: float = 1.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_positions: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0
    short_factors: tuple[float, ...] = _later(())
    long_factors: tuple[float, ...] = _later(())
    stretched_positions: int | None = _later(None)
    rotated: float = _later(1.0)


TARGETS = ("query", "key", "value", "output", "gate", "up", "down")
"""The linear layers that may carry an adapter."""


@dataclasses.dataclass(frozen=True)
class LoRAConfig:
    """Low-rank adapters (arXiv 2106.09685): `targets` compute W x + alpha / rank * B A dropout(x), with W frozen."""

    rank: int
    alpha: float
    targets: tuple[str, ...] = TARGETS
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """A decoder-only transformer of one of the kinds in `families.py`.

    `adapter` says which LoRA parameters stand beside its own. `sliding_layers[l]` says whether layer l sees only the last
    `sliding_window` positions; such layers use `local_rope` where the model has one. `norm_offset` is 1.0 for models whose RMS
    norms multiply by (1 + scale), else 0.0.
    `turned_layers[l]` says whether layer l has a rotary embedding at all; empty where all do. `pre_norms`, `post_norms` stand
    before and behind attention and MLP; `whole_qk_norm` norms all heads of a query or key at once. What attention and MLP add
    is multiplied by `residual_scale`, logits are divided by `logit_divisor`.
    """

    family: str
    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    mlp_width: int
    norm_eps: float
    rope: Rope
    max_positions: int
    tied_embeddings: bool
    local_rope: Rope | None = None
    sliding_window: int | None = None
    sliding_layers: tuple[bool, ...] = ()
    attention_scale: float | None = None
    attention_softcap: float | None = None
    final_softcap: float | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    post_norms: bool = False
    norm_offset: float = 0.0
    embedding_scale: float = 1.0
    activation: Literal["silu", "gelu_tanh", "gelu"] = "silu"

    @property
    def has_sliding_layers(self) -> bool:
        return self.sliding_window is not None and any(self.sliding_layers)

    adapter: LoRAConfig | None = None
    turned_layers: tuple[bool, ...] = _later(())
    pre_norms: bool = _later(True)
    whole_qk_norm: bool = _later(False)
    residual_scale: float = _later(1.0)
    logit_divisor: float = _later(1.0)


def description(config: DecoderConfig) -> dict[str, Any]:
    """All traits, less the later ones that have their default, so that a known model keeps its fingerprint."""

    def told(of: Any) -> Any:
        if not dataclasses.is_dataclass(of):
            return of
        fields = [f for f in dataclasses.fields(of) if not f.metadata.get("later") or getattr(of, f.name) != f.default]
        return {f.name: told(getattr(of, f.name)) for f in fields}

    return told(config)
