"""What Hugging Face's `config.json` says of an architecture: <-> `DecoderConfig`.

It is read with the keys of transformers 5 (`rope_parameters`) as with the older ones (`rope_theta`, `rope_scaling`).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from remid_jax.errors import UserError
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.families import EVERY_FAMILY, FAMILIES, Family, refusal

T = TypeVar("T")

# ---------------------------------------------------------------------------------------------------------------- configs


ACTIVATIONS: dict[str, Literal["silu", "gelu_tanh", "gelu"]] = {
    "silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh", "gelu": "gelu",
}  # fmt: skip
LAYER_TYPES = {"full_attention": False, "sliding_attention": True}
MULTIPLIERS = {  # Granite's
    "embedding_scale": "embedding_multiplier", "residual_scale": "residual_multiplier",
    "attention_scale": "attention_multiplier", "logit_divisor": "logits_scaling",
}  # fmt: skip


class Settings:
    """The keys of one config.json over its family's defaults; collects the faults of all that are asked for."""

    def __init__(self, values: Mapping[str, Any]):
        self.values = values
        self.faults: list[str] = []

    def number(self, key: str, otherwise: Any = None) -> Any:
        """A positive number; `otherwise` where the file says null or nothing."""
        value = self.values.get(key)
        value = otherwise if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            self.faults.append(f"{key} is {json.dumps(value)}, not a positive number")
            return 1
        return value

    def size(self, key: str, otherwise: int | None = None) -> int:
        value = self.number(key, otherwise)
        if value != int(value):
            self.faults.append(f"{key} is {value}, not a whole number")
        return int(value)

    def of(self, kind: type[T], key: str) -> T | None:
        """What the file says, if it is of this kind."""
        value = self.values.get(key)
        if value is None or isinstance(value, kind):
            return value
        self.faults.append(f"{key} is {json.dumps(value)}, not a {kind.__name__}")
        return None

    def refuse(self, key: str, *allowed: Any) -> None:
        """A fault where `key` asks for what this decoder does not do."""
        if self.values.get(key) not in (None, *allowed):
            self.faults.append(f"{key}={json.dumps(self.values[key])} is not supported")


def read_config(raw: Mapping[str, Any], place: str) -> DecoderConfig:
    """The architecture that a config.json describes. Of Gemma 3's multimodal models, the text half.

    Raises:
      UserError: for an architecture that is not one of `FAMILIES`, or naming every key that is missing, broken or asks for
        something this decoder does not do.
    """
    name = raw.get("model_type")
    if name == "gemma3":
        name, raw = "gemma3_text", raw.get("text_config") or {}
    if name not in FAMILIES:
        raise UserError(f"{place}: {refusal(str(name), [str(of) for of in raw.get('architectures') or []])}")
    settings = Settings({**EVERY_FAMILY, **FAMILIES[name].defaults, **raw})
    config = _config(name, settings)
    if settings.faults:
        raise UserError(f"{place}: {'; '.join(settings.faults)}: mend the file, or choose another model")
    return config


def _config(name: str, settings: Settings) -> DecoderConfig:
    get, family, gemma = settings.values.get, FAMILIES[name], name == "gemma3_text"
    settings.refuse("quantization_config")
    settings.refuse("use_bidirectional_attention", False)
    width, layers, heads = (settings.size(key) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads"))
    kv_heads = settings.size("num_key_value_heads", heads)
    head_size = settings.size("head_dim", max(1, width // heads))
    if heads % kv_heads:
        settings.faults.append(f"num_attention_heads={heads} is not a multiple of num_key_value_heads={kv_heads}")
    if head_size % 2:
        settings.faults.append(f"head_dim={head_size} is odd: rotary embeddings turn pairs")
    activation = str(get("hidden_activation" if gemma else "hidden_act"))
    if activation not in ACTIVATIONS:
        settings.faults.append(f"activation {activation} is not one of {', '.join(ACTIVATIONS)}")
    rope, local_rope = _read_ropes(family, head_size, settings)
    turned_layers = _read_turned_layers(layers, settings) if name == "smollm3" else ()
    sliding_layers = _read_sliding_layers(family, layers, turned_layers, settings)
    max_positions = settings.size("max_position_embeddings")
    bias = bool(get("attention_bias")) and "attention_bias" in family.heeds
    config = DecoderConfig(
        family=name,
        vocab_size=settings.size("vocab_size"),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        mlp_width=settings.size("intermediate_size"),
        norm_eps=float(settings.number("rms_norm_eps")),
        rope=rope,
        max_positions=min(max_positions, rope.original_positions) if rope.scaling == "longrope" else max_positions,
        tied_embeddings=bool(get("tie_word_embeddings")),
        local_rope=local_rope,
        sliding_window=settings.size("sliding_window") if any(sliding_layers) else None,
        sliding_layers=sliding_layers if any(sliding_layers) else (),
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bool(get("mlp_bias")) and "mlp_bias" in family.heeds,
        activation=ACTIVATIONS.get(activation, "silu"),
        turned_layers=() if all(turned_layers) else turned_layers,
    )
    config = dataclasses.replace(config, **family.traits)
    if gemma:
        # attn_logit_softcapping is not read: transformers' Gemma 3 has the key, but its forward pass, which normalises
        # queries and keys instead, does not use it.
        scale, softcap = float(settings.number("query_pre_attn_scalar")) ** -0.5, _optional(settings, "final_logit_softcapping")
        return dataclasses.replace(config, attention_scale=scale, final_softcap=softcap, embedding_scale=width**0.5)
    if name == "granite":
        traits: dict[str, Any] = {ours: float(settings.number(theirs)) for ours, theirs in MULTIPLIERS.items()}
        return dataclasses.replace(config, **traits)
    return config


def _optional(settings: Settings, key: str) -> float | None:
    return None if settings.values.get(key) is None else float(settings.number(key))


def _read_turned_layers(layers: int, settings: Settings) -> tuple[bool, ...]:
    """Which layers have rotary embeddings: as the file lists, or all but each `no_rope_layer_interval`-th."""
    listed = settings.of(list, "no_rope_layers")
    if listed is None:
        interval = settings.size("no_rope_layer_interval")
        return tuple(bool((layer + 1) % interval) for layer in range(layers))
    if len(listed) < layers or not set(listed) <= {0, 1}:
        settings.faults.append(f"no_rope_layers must say 1 or 0 for each of the {layers} layers")
    return tuple(bool(turned) for turned in listed[:layers])


def _read_sliding_layers(family: Family, layers: int, turned: tuple[bool, ...], settings: Settings) -> tuple[bool, ...]:
    """Which layers see a window only, by the file's list or by the family's rule."""
    get, switched = settings.values.get, family.windows in ("late", "unturned")
    if family.windows == "none":
        return (False,) * layers
    has_window = get("sliding_window") is not None and (not switched or bool(get("use_sliding_window")))
    if family.windows == "all":
        return (has_window,) * layers
    kinds = settings.of(list, "layer_types")
    if kinds is None and family.windows == "unturned":
        return tuple(has_window and not turns for turns in turned)
    if kinds is None and family.windows == "late":
        first = settings.of(int, "max_window_layers") or 0
        return tuple(has_window and layer >= first for layer in range(layers))
    if kinds is None:
        pattern = settings.size("sliding_window_pattern")
        return tuple(bool((layer + 1) % pattern) for layer in range(layers))
    if len(kinds) != layers or not set(kinds) <= set(LAYER_TYPES):
        settings.faults.append(f"layer_types must name {' or '.join(LAYER_TYPES)} for each of the {layers} layers")
    elif "sliding_attention" in kinds and not has_window:
        settings.faults.append("layer_types names sliding_attention, but no sliding_window is in use")
    return tuple(LAYER_TYPES.get(kind, False) for kind in kinds)


def _read_ropes(family: Family, head_size: int, settings: Settings) -> tuple[Rope, Rope | None]:
    """The rotary embedding, and a second one for sliding layers. An old `rope_scaling` goes before the new key."""
    old, new = (settings.of(dict, key) or {} for key in ("rope_scaling", "rope_parameters"))
    if not family.two_ropes:
        key = "original_max_position_embeddings"  # some files say it outside, and then that counts
        outside = {} if settings.values.get(key) is None else {key: settings.values[key]}
        return _read_rope({**(old or new), **outside}, "rope_theta", family, head_size, settings), None
    by_kind = Settings(new)
    full, local = (by_kind.of(dict, kind) or {} for kind in LAYER_TYPES)
    settings.faults += [f"rope_parameters: {fault}" for fault in by_kind.faults]
    return (
        _read_rope({**full, **old}, "rope_theta", family, head_size, settings),
        _read_rope(local, "rope_local_base_freq", family, head_size, settings),
    )


def _read_rope(parameters: Mapping[str, Any], theta_key: str, family: Family, head_size: int, outer: Settings) -> Rope:
    own = Settings(parameters)
    positions = outer.size("max_position_embeddings")
    rope = Rope(float(own.number("rope_theta", outer.values.get(theta_key))))
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if "longrope" in family.ropes:  # Phi
        kind = "longrope" if kind in ("su", "yarn") else kind
        share = own.number("partial_rotary_factor", outer.values.get("partial_rotary_factor") or 1.0)
        rope = dataclasses.replace(rope, rotated=float(share))
        if int(head_size * share) % 2 or share > 1:
            own.faults.append(f"partial_rotary_factor={share} of head_dim={head_size} is no number of pairs")
    else:
        own.refuse("partial_rotary_factor", 1)
    if kind in ("llama3", "yarn", "longrope"):
        original = own.size("original_max_position_embeddings", positions)
        rope = dataclasses.replace(rope, original_positions=original)
    if kind in ("linear", "llama3", "yarn"):
        factor = float(own.number("factor", positions / rope.original_positions if kind == "yarn" else None))
        rope = dataclasses.replace(rope, scaling=kind, factor=factor)
    if kind not in family.ropes:
        own.faults.append(f"rope_type {kind} is not one of {', '.join(family.ropes)}")
    if kind == "longrope":
        rope = _read_longrope(rope, positions, int(head_size * rope.rotated) // 2, own)
    if kind == "llama3":
        low, high = float(own.number("low_freq_factor")), float(own.number("high_freq_factor"))
        rope = dataclasses.replace(rope, low_frequency_factor=low, high_frequency_factor=high)
    if kind == "yarn":
        rope = dataclasses.replace(
            rope, beta_fast=float(own.number("beta_fast", 32)), beta_slow=float(own.number("beta_slow", 1)),
            truncate=parameters.get("truncate", True) is not False, attention_factor=_yarn_attention_factor(rope.factor, own),
        )  # fmt: skip
    outer.faults += [f"rope: {fault}" for fault in own.faults]
    return rope


def _read_longrope(rope: Rope, positions: int, pairs: int, own: Settings) -> Rope:
    """Its factors by pair, and how much cosines and sines grow: sqrt(1 + ln stretch / ln original) (arXiv 2402.13753)."""
    short, long = (tuple(map(float, own.of(list, key) or ())) for key in ("short_factor", "long_factor"))
    if len(short) != pairs or len(long) != pairs:
        own.faults.append(f"short_factor and long_factor do not have a number for each of {pairs} pairs")
    stretch = float(own.number("factor", positions / rope.original_positions))
    growth = math.sqrt(1 + math.log(stretch) / math.log(max(2, rope.original_positions))) if stretch > 1 else 1.0
    return dataclasses.replace(
        rope, scaling="longrope", short_factors=short, long_factors=long, stretched_positions=positions,
        attention_factor=float(own.number("attention_factor", growth)),
    )  # fmt: skip


def _yarn_attention_factor(factor: float, own: Settings) -> float:
    """Cosines and sines grow with the stretch: 0.1 m ln(factor) + 1 (arXiv 2309.00071, section 3.4), or as the file says."""

    def growth(key: str | None) -> float:
        return 1.0 if factor <= 1 else 0.1 * (own.number(key) if key else 1.0) * math.log(factor) + 1.0

    if own.values.get("attention_factor") is not None:
        return float(own.number("attention_factor"))
    if own.values.get("mscale") and own.values.get("mscale_all_dim"):
        return growth("mscale") / growth("mscale_all_dim")
    return growth(None)


def write_config(config: DecoderConfig, dtype: str, end_ids: Sequence[int], place: str) -> dict[str, Any]:
    """The config.json from which transformers 5 builds the same model; each of `end_ids` ends a generation.

    Raises:
      UserError: if the architecture has a trait that its family's config.json cannot express.
    """
    if not config.has_sliding_layers:
        config = dataclasses.replace(config, sliding_window=None, sliding_layers=())
    family, gemma = FAMILIES[config.family], config.family == "gemma3_text"
    activation = next(name for name, ours in ACTIVATIONS.items() if ours == config.activation)
    written: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": config.family,
        "dtype": dtype,
        "bos_token_id": None,
        "eos_token_id": list(end_ids) if len(end_ids) > 1 else next(iter(end_ids), None),
        "pad_token_id": None,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "max_position_embeddings": config.rope.stretched_positions or config.max_positions,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.output_bias,
        "mlp_bias": config.mlp_bias,
        "hidden_activation" if gemma else "hidden_act": activation,
        "rope_parameters": _write_rope(config.rope),
        "sliding_window": config.sliding_window,
    }
    if family.windows in ("late", "unturned", "patterned"):
        kinds = {sliding: kind for kind, sliding in LAYER_TYPES.items()}
        written["layer_types"] = [kinds[sliding] for sliding in config.sliding_layers or (False,) * config.layers]
    if family.windows in ("late", "unturned"):
        written["use_sliding_window"] = config.has_sliding_layers
    if family.two_ropes:
        assert config.local_rope is not None
        ropes = {"full_attention": _write_rope(config.rope), "sliding_attention": _write_rope(config.local_rope)}
        written["rope_parameters"] = ropes
    if gemma:
        assert config.attention_scale is not None
        written |= {
            "query_pre_attn_scalar": round(config.attention_scale**-2),
            "final_logit_softcapping": config.final_softcap,
            "attn_logit_softcapping": None,
        }
    if config.family == "smollm3":
        written["no_rope_layers"] = [int(turned) for turned in config.turned_layers or (True,) * config.layers]
    if config.family == "granite":
        written |= {theirs: getattr(config, ours) for ours, theirs in MULTIPLIERS.items()}
    if config.rope.scaling == "longrope":
        written["original_max_position_embeddings"] = config.rope.original_positions
    found = read_config(written, place)
    traits = [f.name for f in dataclasses.fields(config) if getattr(found, f.name) != getattr(config, f.name)]
    if traits:
        raise UserError(f"{place}: a {config.family} config.json cannot express this model's {', '.join(traits)}")
    return written


def _write_rope(rope: Rope) -> dict[str, Any]:
    written: dict[str, Any] = {"rope_type": rope.scaling or "default", "rope_theta": rope.theta}
    if rope.rotated != 1:
        written["partial_rotary_factor"] = rope.rotated
    if rope.scaling in ("linear", "llama3", "yarn"):
        written["factor"] = rope.factor
    if rope.scaling == "longrope":
        written |= {"short_factor": list(rope.short_factors), "long_factor": list(rope.long_factors)}
        written["attention_factor"] = rope.attention_factor
    if rope.scaling in ("llama3", "yarn"):
        written["original_max_position_embeddings"] = rope.original_positions
    if rope.scaling == "llama3":
        written |= {"low_freq_factor": rope.low_frequency_factor, "high_freq_factor": rope.high_frequency_factor}
    if rope.scaling == "yarn":
        for key in ("beta_fast", "beta_slow", "truncate", "attention_factor"):
            written[key] = getattr(rope, key)
    return written
