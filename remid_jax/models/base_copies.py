"""What PEFT's files hold beside LoRA on the layers: LoRA on the vocabulary, copies of the base's weights, trained or not."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from remid_jax.models.loading import LanguageModel
from remid_jax.models.tensor_names import EMBEDDING, HEAD, layout

VOCABULARY = {EMBEDDING: "embeddings", HEAD: "head"}
LORA = re.compile(r"\.lora_(embedding_)?[AB](\.weight)?$")
# peft puts the copy that a wrapper keeps, or the one it trains, under one of these names.
_WRAPPER = re.compile(r"\.(base_layer|original_module|modules_to_save)(\.default)?(?=\.)")


def vocabulary_of(name: str) -> str | None:
    """The embedding or head that this tensor is LoRA on, if it is."""
    module = LORA.sub("", name)
    return module if module in VOCABULARY else None


def other_faults(others: Mapping[str, np.ndarray], model: LanguageModel) -> list[str]:
    """What is wrong with tensors that are no LoRA, in words; nothing where each is a copy of one of the base's own, unchanged.

    A copy is unchanged if it is equal in the type that it has, or in that of the model as it was opened.
    """
    of_base: dict[str, list[str]] = {}
    for path, parts in (base := layout(model.config)).items():
        for name in parts.names:
            of_base.setdefault(name, []).append(path)
    if model.config.tied_embeddings:
        of_base[f"{HEAD}.weight"] = of_base[f"{EMBEDDING}.weight"]
    copies = {name: array for name, array in others.items() if _WRAPPER.sub("", name) in of_base}
    faults = [f"{name}, which is neither LoRA nor a weight of the base" for name in others if name not in copies]
    wanted: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name, array in copies.items():
        own = _WRAPPER.sub("", name)
        shape = (base[of_base[own][0]].rows, *base[of_base[own][0]].shape[1:])
        if array.shape == shape:
            for path in of_base[own]:
                wanted.setdefault(path, []).append((name, array))
        elif own.removesuffix(".weight") in VOCABULARY and array.shape[1:] == shape[1:]:
            faults.append(f"{name} for a vocabulary that was resized, of {array.shape[0]} tokens where the base has {shape[0]}")
        else:
            faults.append(f"{name}, which is {list(array.shape)}, not {list(shape)} as in the base")
    trained: dict[str, None] = {}
    arrays = model.arrays() if wanted else iter(())
    while wanted:
        path, whole = next(arrays)
        for name, array in wanted.pop(path, ()):
            parts, own = base[path], _WRAPPER.sub("", name)
            layer = whole[(place := parts.names.index(own)) : place + 1][0] if parts.stacked else whole[:]
            rows = array[parts.first : parts.first + parts.shape[0]]
            if not _unchanged(rows.T if parts.transposed else rows, layer, model.dtype):
                trained[name] = None
    return faults + [_trained(name) for name in trained]


def _trained(name: str) -> str:
    module = _WRAPPER.sub("", name).removesuffix(".weight")
    return f"trained {VOCABULARY.get(module, 'weights')} ({name} differs from the base's)"


def _unchanged(copy: np.ndarray, own: np.ndarray, dtype: str) -> bool:
    return any(np.array_equal(copy.astype(kind), own.astype(kind)) for kind in (copy.dtype, dtype))
