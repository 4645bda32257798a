"""Reading GGUF files: llama.cpp's metadata and quantised tensors -> a config, a tokenizer and float32 arrays.

Four conventions of llama.cpp's are undone here. Files of architecture `llama` (Mistral's too) hold the rows of q and k so
that the two halves of a rotary pair are neighbours; ours are half a head apart. Gemma's norms are stored with their one
added. Llama 3's stretch of the rotary embedding is a tensor of divisors instead of its four parameters. And a head that is
tied to the embedding is left out.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from gguf import GGUFReader, ReaderTensor, dequantize

from remid_jax.errors import UserError
from remid_jax.models import huggingface
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import structure
from remid_jax.models.families import FAMILIES
from remid_jax.models.gguf_tokenizer import read_tokenizer
from remid_jax.models.rope import frequencies
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.models.weight_files import check_finite
from remid_jax.parallel import path_name

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text"}
TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
# What would change the forward pass in ways the decoder does not know, and the values with which it changes nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,), "attention.causal": (True,), "attention.scale": (), "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,), "attn_logit_softcapping": (0,), "embedding_scale": (1,), "residual_scale": (1,),
    "logit_scale": (1,), "pooling_type": (0,), "use_parallel_residual": (False,), "rope.scaling.attn_factor": (1,),
    "rope.scaling.yarn_attn_factor": (1,), "rope.scaling.yarn_ext_factor": (1,), "rope.scaling.yarn_log_multiplier": (0,),
    "rope.scale_linear": (0, 1), "nextn_predict_layers": (0,),
}  # fmt: skip
# Our modules -> llama.cpp's tensors; "{layer}" stands where we stack.
MODULES = {
    "embedding": "token_embd",
    "head": "output",
    "final_norm": "output_norm",
    "layers/attention_norm": "blk.{layer}.attn_norm",
    "layers/attention/query": "blk.{layer}.attn_q",
    "layers/attention/key": "blk.{layer}.attn_k",
    "layers/attention/value": "blk.{layer}.attn_v",
    "layers/attention/output": "blk.{layer}.attn_output",
    "layers/attention/query_norm": "blk.{layer}.attn_q_norm",
    "layers/attention/key_norm": "blk.{layer}.attn_k_norm",
    "layers/attention_post_norm": "blk.{layer}.post_attention_norm",
    "layers/mlp_norm": "blk.{layer}.ffn_norm",
    "layers/mlp/gate": "blk.{layer}.ffn_gate",
    "layers/mlp/up": "blk.{layer}.ffn_up",
    "layers/mlp/down": "blk.{layer}.ffn_down",
    "layers/mlp_post_norm": "blk.{layer}.post_ffw_norm",
}
ENDS = ("eos", "eot", "eom")  # of the sequence, of a turn, of a message
GEMMA3_27B_LAYERS = 62  # the one Gemma 3 that scales attention by width / heads; its files do not say so


@dataclasses.dataclass(frozen=True)
class GgufModel:
    """An opened GGUF file; its tensors stay on disk until `arrays` is iterated."""

    path: Path
    config: DecoderConfig
    fields: Mapping[str, Any] = dataclasses.field(repr=False)
    tensors: Mapping[str, ReaderTensor] = dataclasses.field(repr=False)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The file's tokenizer, None if it has none.

        Where GGUF metadata do not determine the tokenizer, the tokenizer.json beside the file, if it is the same one.

        Raises:
          UserError: if the tokenizer can be had from neither.
        """
        tokens = self.fields.get("tokenizer.ggml.tokens")
        if tokens is None:
            return None
        try:
            return read_tokenizer(self.fields, self.path)
        except UserError:
            beside = Tokenizer.from_directory(self.path.parent)
            if beside is None:
                raise
        kinds = self.fields.get("tokenizer.ggml.token_type") or [1] * len(tokens)
        for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
            if kind == 1 and beside.token_name(i) != token:  # other kinds are spelled otherwise by llama.cpp
                raise UserError(
                    f"{self.path}: token {i} is {token!r}, but {beside.token_name(i)!r} in the tokenizer.json beside it: put "
                    "this model's own tokenizer.json there"
                )
        return beside

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a generation."""
        ids = [self.fields.get(f"tokenizer.ggml.{end}_token_id") for end in ENDS]
        if self.tokenizer is not None and self.tokenizer.has_chat_template:
            ids.append(self.tokenizer.end_of_turn_id)
        return tuple(dict.fromkeys(i for i in ids if i is not None))

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every parameter as (path, float32 array), e.g. ("layers/mlp/up/kernel", [L, in, out]), dequantised.

        Raises:
          UserError: naming the first tensor that holds a number which is not finite.
        """
        architecture = self.fields["general.architecture"]
        for path, (names, shape) in _layout(self.config).items():
            whole = np.empty((len(names), *shape), np.float32)
            for layer, name in enumerate(names):
                tensor = self.tensors[name]
                part = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
                if architecture == "llama" and "/query/" in path:
                    part = _half_split(part, self.config.heads)
                if architecture == "llama" and "/key/" in path:
                    part = _half_split(part, self.config.kv_heads)
                if architecture == "gemma3" and path.endswith("/scale"):
                    part = part - np.float32(1)
                whole[layer] = part.T if path.endswith("/kernel") else part
                check_finite(whole[layer], str(self.path), name)
            yield path, whole if path.startswith("layers/") else whole[0]


def read_gguf(path: str | Path) -> GgufModel:
    """Opens a GGUF file: reads its metadata and the names, shapes and types of its tensors.

    Raises:
      UserError: if it is no whole GGUF file, of another architecture, or asks for what the decoder does not do; naming every
        tensor that is missing, unknown, of another shape, or of a type not in `TYPES`.
    """
    path = Path(path)
    try:
        reader = _WholeReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except (ValueError, LookupError, OverflowError, MemoryError, TypeError) as error:
        raise UserError(f"{path}: is not a whole GGUF file ({' '.join(str(error).split())}): fetch it again") from error
    if reader.byte_order == "S":
        raise UserError(f"{path}: is of the other byte order than this machine's: fetch a file made for it")
    if fields.get("split.count", 1) not in (0, 1):
        raise UserError(f"{path}: is one of {fields['split.count']} parts of a model: join them with llama-gguf-split --merge")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = _read_config(fields, tensors, path)
    divisors = tensors.pop("rope_freqs.weight", None)
    if divisors is not None:
        config = dataclasses.replace(config, rope=_read_divisors(config, np.array(divisors.data, np.float32), path))
    _check_tensors(config, tensors, path)
    return GgufModel(path, config, fields, tensors)


class _WholeReader(GGUFReader):
    """A reader that does not take the end of a cut-off file for empty values."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> np.ndarray:
        end = int(offset) + np.dtype(dtype).itemsize * int(count)
        if end > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}, inside something that goes on to byte {end}")
        part = np.asarray(self.data)[offset:end].view(dtype)  # a plain array is several times faster to slice than a memmap
        return part.view(part.dtype.newbyteorder(override_order or self.byte_order))


def _layout(config: DecoderConfig) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """For every parameter, by its path: the tensors that hold it, one a layer, and the shape we give to each."""
    found = {}
    for key_path, leaf in jax.tree_util.tree_leaves_with_path(structure(config)[1]):
        path = path_name(key_path)
        module, _, kind = (path, "", "weight") if path in MODULES else path.rpartition("/")
        name = f"{MODULES[module]}.{'bias' if kind == 'bias' else 'weight'}"
        if path.startswith("layers/"):
            found[path] = tuple(name.format(layer=layer) for layer in range(config.layers)), leaf.shape[1:]
        else:
            found[path] = (name,), leaf.shape
    return found


def _check_tensors(config: DecoderConfig, tensors: Mapping[str, ReaderTensor], path: Path) -> None:
    wanted = {
        name: shape[::-1] if parameter.endswith("/kernel") else shape
        for parameter, (names, shape) in _layout(config).items()
        for name in names
    }
    shapes = {name: tuple(int(size) for size in tensor.shape[::-1]) for name, tensor in tensors.items()}
    faults = {
        "missing": [name for name in wanted if name not in tensors],
        "unknown": [name for name in tensors if name not in wanted],
        "of another shape": [
            f"{name} is {list(shapes[name])}, not {list(shape)}"
            for name, shape in wanted.items()
            if shapes.get(name, shape) != shape
        ],
        f"of a type other than {', '.join(TYPES)}": [
            f"{name} is {tensor.tensor_type.name}" for name, tensor in tensors.items() if tensor.tensor_type.name not in TYPES
        ],
    }
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
    if listed:
        raise UserError(f"{path}: tensors do not fit the metadata or the decoder: {listed}: choose another file of this model")


def _half_split(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows ordered head, pair, half -> head, half, pair."""
    return weights.reshape(heads, -1, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


# ------------------------------------------------------------------------------------------------------------------ config


def _read_config(fields: Mapping[str, Any], tensors: Mapping[str, ReaderTensor], path: Path) -> DecoderConfig:
    """The metadata in the words of Hugging Face's config.json, and from there as for any model."""
    architecture = str(fields.get("general.architecture"))
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        if architecture in FAMILIES:
            raise UserError(f"{path}: architecture {architecture} is read as safetensors only: name its directory or hub id")
        raise UserError(f"{path}: architecture {architecture} is not supported: choose a file of architecture {known}")
    own = huggingface.Settings(
        {key.removeprefix(f"{architecture}."): _same_in_all_layers(value) for key, value in fields.items()}
    )
    for key, neutral in NEUTRAL.items():
        own.refuse(key, *neutral)
    width, layers, heads = (own.size(key) for key in ("embedding_length", "block_count", "attention.head_count"))
    head_size = own.size("attention.key_length", max(1, width // heads))
    own.refuse("attention.value_length", head_size)
    own.refuse("rope.dimension_count", head_size)
    # Before any parameter is laid out: sizes from a broken file would ask for absurdly many.
    embedding = tensors.get("token_embd.weight")
    vocab_size, columns = (1, 0) if embedding is None or len(embedding.shape) != 2 else map(int, embedding.shape[::-1])
    if columns != width:
        own.faults.append(f"token_embd.weight is not a matrix of embedding_length={width} columns")
    if layers > len(tensors) or heads * head_size > max((tensor.n_elements for tensor in tensors.values()), default=0):
        own.faults.append(f"{layers} layers of {heads} heads of {head_size} do not fit the file's tensors")
    if len(own.of(list, "tokenizer.ggml.tokens") or ()) > vocab_size:
        own.faults.append(f"tokenizer has more tokens than token_embd.weight has rows, {vocab_size}")
    for end in ENDS:
        own.of(int, f"tokenizer.ggml.{end}_token_id")
    raw = {
        "model_type": ARCHITECTURES[architecture],
        "vocab_size": vocab_size,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": own.size("attention.head_count_kv", heads),
        "head_dim": head_size,
        "intermediate_size": own.size("feed_forward_length"),
        "rms_norm_eps": own.number("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": own.size("context_length"),
        "tie_word_embeddings": "output.weight" not in tensors,
        **_read_rope(architecture, own),
        **_read_window(architecture, layers, own),
    }
    if architecture == "gemma3":
        raw["query_pre_attn_scalar"] = width / heads if layers == GEMMA3_27B_LAYERS else head_size
        raw["final_logit_softcapping"] = own.values.get("final_logit_softcapping") or None
    if own.faults:
        raise UserError(f"{path}: metadata: {'; '.join(own.faults)}: fetch the file again, or choose another of this model")
    config = huggingface.read_config(raw, str(path))
    return dataclasses.replace(
        config,
        qkv_bias=architecture == "qwen2" or "blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        mlp_bias="blk.0.ffn_up.bias" in tensors,
    )


def _same_in_all_layers(value: Any) -> Any:
    """Some writers repeat a number for every layer; numbers that differ by layer stay a list, and are refused as one."""
    return value[0] if isinstance(value, list) and value and all(item == value[0] for item in value) else value


def _read_rope(architecture: str, own: huggingface.Settings) -> dict[str, Any]:
    theta = float(own.number("rope.freq_base", None if architecture == "gemma3" else 10_000.0))
    kind = own.values.get("rope.scaling.type")
    own.refuse("rope.scaling.type", "none", "linear", "yarn")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if kind in ("linear", "yarn"):
        rope |= {"rope_type": kind, "factor": own.number("rope.scaling.factor")}
    if kind == "yarn":
        rope |= {
            "original_max_position_embeddings": own.size("rope.scaling.original_context_length"),
            "beta_fast": own.number("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": own.number("rope.scaling.yarn_beta_slow", 1.0),
        }
    if architecture != "gemma3":
        return {"rope_parameters": rope}
    local = {"rope_type": "default", "rope_theta": float(own.number("rope.freq_base_swa", 10_000.0))}
    return {"rope_parameters": {"full_attention": rope, "sliding_attention": local}}


def _read_window(architecture: str, layers: int, own: huggingface.Settings) -> dict[str, Any]:
    """Mistral slides in every layer, Gemma in all but each sixth unless the file says otherwise."""
    if architecture == "gemma3":
        pattern = own.values.get("attention.sliding_window_pattern", 6)
        window = {"sliding_window": own.size("attention.sliding_window")}
        if isinstance(pattern, list | bool):
            slides = pattern if isinstance(pattern, list) else [pattern] * layers
            return window | {"layer_types": ["sliding_attention" if slide else "full_attention" for slide in slides]}
        return window | {"sliding_window_pattern": pattern}
    if not own.values.get("attention.sliding_window"):
        return {}
    if architecture == "llama":
        return {"model_type": "mistral", "sliding_window": own.size("attention.sliding_window")}
    own.faults.append("attention.sliding_window is set, but not for which layers")
    return {}


def _read_divisors(config: DecoderConfig, divisors: np.ndarray, path: Path) -> Rope:
    """The rotary embedding whose plain frequencies, divided by `divisors` [H/2], are these: plain, or Llama 3's.

    All Llama 3 models have the same parameters but for the factor, which is the largest divisor.
    """
    plain, wanted = config.rope, frequencies(config.rope, config.head_size)
    if divisors.shape == wanted.shape and np.all(divisors > 0):
        for rope in (plain, Rope(plain.theta, "llama3", float(divisors.max()), 1.0, 4.0, 8192)):
            if np.allclose(wanted / divisors, frequencies(rope, config.head_size), rtol=1e-5, atol=0):
                return rope
    raise UserError(
        f"{path}: rope_freqs.weight is not the rotary stretch of a Llama 3 model, the one kind known: choose another file"
    )
