"""A model that is split over eight devices comes to each of them without ever being whole on the host."""

import json
import tracemalloc

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from remid_jax.models import loading, weight_files
from remid_jax.models.loading import open_model
from remid_jax.parallel import Devices

# Qwen3-8B's layers, heads and proportions at an eighth of its width; its vocabulary is not what is split by layer.
SHAPES = {
    "model_type": "qwen3", "hidden_size": 512, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 16, "intermediate_size": 1536, "vocab_size": 1024, "max_position_embeddings": 2048,
    "tie_word_embeddings": False, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "eos_token_id": 0,
}  # fmt: skip
PARTS = {
    "self_attn.q_proj": (512, 512), "self_attn.k_proj": (128, 512), "self_attn.v_proj": (128, 512),
    "self_attn.o_proj": (512, 512), "mlp.gate_proj": (1536, 512), "mlp.up_proj": (1536, 512), "mlp.down_proj": (512, 1536),
    "input_layernorm": (512,), "post_attention_layernorm": (512,), "self_attn.q_norm": (16,), "self_attn.k_norm": (16,),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("qwen3"), np.random.default_rng(0)
    (folder / "config.json").write_text(json.dumps(SHAPES))
    names = {f"model.layers.{n}.{part}.weight": shape for n in range(36) for part, shape in PARTS.items()}
    names |= {"model.embed_tokens.weight": (1024, 512), "lm_head.weight": (1024, 512), "model.norm.weight": (512,)}
    save_file({name: rng.standard_normal(shape, np.float32) for name, shape in names.items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("model_axis", [8, 2, 1])
def test_the_host_holds_a_shard_and_a_part_of_one_tensor(folder, monkeypatch, model_axis):
    """Bytes that numpy holds, less those that a device already has: on CPU a device may take an array as it is."""
    devices, at_devices, most = Devices("mesh", model_axis), 0, 0
    put = jax.device_put

    def handed_over(part, device):
        nonlocal at_devices, most
        most = max(most, tracemalloc.get_traced_memory()[1] - at_devices)
        found = put(np.array(part), device)  # a copy that is the device's own
        at_devices = tracemalloc.get_traced_memory()[0] - part.nbytes
        tracemalloc.reset_peak()
        return found

    class Jax:
        device_put = staticmethod(handed_over)

        def __getattr__(self, name):
            return getattr(jax, name)

    model = open_model(str(folder), mesh=devices.parameter_mesh)
    monkeypatch.setattr(loading, "jax", Jax())
    tracemalloc.start()
    params = model.params
    tracemalloc.stop()
    shard = max(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(params))
    tensor = 4 * 1536 * 512
    assert most <= shard + tensor + 2**20  # and a MiB of names and headers
    for path, stored in weight_files.stored(model.config, tensors_of(folder), "float32"):
        leaf = params
        for name in path.split("/"):
            leaf = leaf[name]
        np.testing.assert_array_equal(np.asarray(leaf[...]), stored[:])


def tensors_of(folder):
    return weight_files.read_headers([folder / "model.safetensors"])
