"""The types of GGUF tensors, against scalar arithmetic written from the description of each format."""

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf_files import contents, write

from remid_jax.errors import UserError
from remid_jax.models.gguf import read_gguf


def half(block, start):
    return float(np.frombuffer(bytes(block[start : start + 2]), "<f2")[0])


def six_bits(scales, j):
    """The j-th scale and minimum of the 12 bytes that K-quants pack them in."""
    if j < 4:
        return scales[j] & 63, scales[j + 4] & 63
    return (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4, scales[j + 4] >> 4 | (scales[j] >> 6) << 4


def bits5(block, start, i):
    return (int.from_bytes(bytes(block[start : start + 4]), "little") >> i) & 1


def nibble(block, start, i, size=32):
    """Value i of a run whose first half lies in the low nibbles and whose second half in the high ones."""
    byte = int(block[start + i % (size // 2)])
    return byte & 15 if i < size // 2 else byte >> 4


def k_quant(block, i, low):
    """Q4_K and Q5_K: value i of 256, whose low four bits begin at byte `low`."""
    group, place = i // 32, i % 32
    scale, minimum = six_bits(block[4:16].tolist(), group)
    value = nibble(block, low + 32 * (group // 2), place + 32 * (group % 2), 64)
    if low == 48:
        value += 16 * ((int(block[16 + place]) >> group) & 1)
    return half(block, 0) * scale * value - half(block, 2) * minimum


def q6_k(block, i):
    part, within = divmod(i, 128)
    row, place = divmod(within, 32)
    low = int(block[64 * part + 32 * (row % 2) + place]) >> (4 if row > 1 else 0) & 15
    high = int(block[128 + 32 * part + place]) >> 2 * row & 3
    scale = int(np.int8(block[192 + 8 * part + 2 * row + place // 16]))
    return half(block, 208) * scale * ((low | high << 4) - 32)


# Type -> where its half-precision scales lie, and value i of a block of bytes, by the description of the format.
BLOCKS = {
    Type.Q4_0: ([0], lambda b, i: half(b, 0) * (nibble(b, 2, i) - 8)),
    Type.Q4_1: ([0, 2], lambda b, i: half(b, 0) * nibble(b, 4, i) + half(b, 2)),
    Type.Q5_0: ([0], lambda b, i: half(b, 0) * ((nibble(b, 6, i) | bits5(b, 2, i) << 4) - 16)),
    Type.Q5_1: ([0, 2], lambda b, i: half(b, 0) * (nibble(b, 8, i) | bits5(b, 4, i) << 4) + half(b, 2)),
    Type.Q8_0: ([0], lambda b, i: half(b, 0) * int(np.int8(b[2 + i]))),
    Type.Q4_K: ([0, 2], lambda b, i: k_quant(b, i, 16)),
    Type.Q5_K: ([0, 2], lambda b, i: k_quant(b, i, 48)),
    Type.Q6_K: ([208], q6_k),
}
WIDE = {"embedding_length": 256, "feed_forward_length": 3, "block_count": 1, "attention.head_count": 1,
        "attention.head_count_kv": 1, "attention.key_length": 2, "attention.value_length": 2,
        "rope.dimension_count": 2}  # fmt: skip
ROWS = {"token_embd": 5, "output": 5, "blk.0.attn_q": 2, "blk.0.attn_k": 2, "blk.0.attn_v": 2, "blk.0.attn_output": 256,
        "blk.0.ffn_gate": 3, "blk.0.ffn_up": 3, "blk.0.ffn_down": 256, "blk.0.attn_norm": 0, "blk.0.ffn_norm": 0,
        "output_norm": 0}  # fmt: skip
COLUMNS = {"blk.0.attn_output": 2, "blk.0.ffn_down": 3}


def write_wide(path, up):
    """A model of rows long enough for K-quants, whose `mlp/up`, [3, 256], is given."""
    tensors = {
        f"{name}.weight": np.zeros((rows, COLUMNS.get(name, 256)) if rows else 256, np.float32) for name, rows in ROWS.items()
    }
    fields = contents("llama")[0] | {f"llama.{key}": value for key, value in WIDE.items()}
    return write(path, fields, tensors | {"blk.0.ffn_up.weight": up})


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_quantised_blocks_are_read_as_the_format_defines_them(kind, tmp_path):
    size, length = gguf.GGML_QUANT_SIZES[kind]
    scales, value = BLOCKS[kind]
    random = np.random.default_rng(kind.value)
    blocks = random.integers(0, 256, (3, 256 // size, length), dtype=np.uint8)
    for place in scales:
        blocks[..., place : place + 2] = random.normal(0, 0.1, blocks.shape[:2]).astype("<f2")[..., None].view(np.uint8)
    wanted = [[value(block, i) for block in row for i in range(size)] for row in blocks]
    path = write_wide(tmp_path / "m.gguf", (blocks.reshape(3, -1), kind))
    found = dict(read_gguf(path).arrays())["layers/mlp/up/kernel"][0].T
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.BF16], ids=lambda kind: kind.name)
def test_float_types_are_widened_exactly(kind, tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)
    values[0, :4] = 0.0, -0.0, 65504.0, 6e-8
    if kind == Type.F16:
        values = values.astype(np.float16)
    wanted = values.astype(np.float32)
    if kind == Type.BF16:  # the upper half of a float32
        words = values.view(np.uint32) >> 16
        values, wanted = (words.astype(np.uint16).view(np.uint8), kind), (words << 16).view(np.float32)
    found = dict(read_gguf(write_wide(tmp_path / "m.gguf", values)).arrays())["layers/mlp/up/kernel"][0].T
    np.testing.assert_array_equal(found, wanted)


def test_other_types_are_refused_with_tensor_and_type(tmp_path):
    up = np.zeros((3, 256 // 256 * gguf.GGML_QUANT_SIZES[Type.Q2_K][1]), np.uint8), Type.Q2_K
    with pytest.raises(UserError, match=r"blk\.0\.ffn_up\.weight is Q2_K"):
        read_gguf(write_wide(tmp_path / "m.gguf", up))
