"""GGUF files for tests: tiny torch models with random norms and biases, written as llama.cpp's converter would write them."""

import functools

import gguf
import numpy as np
import torch
import transformers

SIZES = {"vocab_size": 24, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512, "rms_norm_eps": 2.0**-10}  # fmt: skip
PLAIN = {"rope_type": "default", "rope_theta": 50_000.0}
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, rope_parameters=PLAIN),
    "llama, tied, biases": lambda: transformers.LlamaConfig(
        **SIZES, rope_parameters=PLAIN, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    ),
    "llama, of mistral": lambda: transformers.MistralConfig(**SIZES, rope_parameters=PLAIN, sliding_window=17),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, rope_parameters=PLAIN, tie_word_embeddings=True),
    "qwen3": lambda: transformers.Qwen3Config(**SIZES | {"head_dim": 16}, rope_parameters=PLAIN),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **SIZES | {"num_hidden_layers": 7, "head_dim": 16}, sliding_window=17, query_pre_attn_scalar=16,
        rope_parameters={"full_attention": PLAIN, "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}},
    ),
}  # fmt: skip


def write(path, fields, tensors):
    """A GGUF file; a tensor is an array, or raw bytes with their type."""
    writer = gguf.GGUFWriter(path, fields["general.architecture"])
    for key, value in fields.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, list: writer.add_array}
        if key != "general.architecture":
            add.get(type(value), writer.add_string)(key, value)
    for name, tensor in tensors.items():
        data, kind = tensor if isinstance(tensor, tuple) else (tensor, None)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def interleaved(weights, heads):
    """How llama.cpp's converter orders the rows of q and k, by its formula."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


@functools.cache
def torch_model(name):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randint(-256, 257, parameter.shape) / 128)  # so that llama.cpp's 1 + weight is exact
    return model


@functools.cache
def contents(name):
    """What llama.cpp's converter would write of the model: metadata and tensors."""
    model, architecture = torch_model(name), name.split(",")[0]
    config, gemma = model.config, architecture == "gemma3"
    theta = config.rope_parameters["full_attention" if gemma else "rope_type"]
    theta = (theta if gemma else config.rope_parameters)["rope_theta"]
    numbers = {
        "context_length": config.max_position_embeddings, "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers, "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads, "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim, "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps, "rope.freq_base": theta, "vocab_size": config.vocab_size,
    }  # fmt: skip
    if architecture == "llama":
        numbers["rope.dimension_count"] = config.head_dim
    if gemma or "mistral" in name:
        numbers["attention.sliding_window"] = config.sliding_window
    fields = {"general.architecture": architecture} | {f"{architecture}.{key}": value for key, value in numbers.items()}
    code = next(code for code, known in gguf.MODEL_ARCH_NAMES.items() if known == architecture)
    names = gguf.get_tensor_name_map(code, config.num_hidden_layers)
    tensors = {}
    for key, weights in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        base, _, suffix = key.rpartition(".")
        array = weights.numpy()
        if architecture == "llama" and ("q_proj" in key or "k_proj" in key):
            array = interleaved(array, config.num_attention_heads if "q_proj" in key else config.num_key_value_heads)
        tensors[f"{names.get_name(base)}.{suffix}"] = array + np.float32(1) if gemma and "norm" in key else array
    return fields, tensors
