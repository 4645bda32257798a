"""Small models and a few records on disk, made once a session, for tests that go by paths."""

import pytest


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory):
    """A saved model of 2 small layers with SmolLM2's pieces and chat template; its random logits are far from flat."""
    import jax
    from flax import nnx
    from small_vocabulary import small_tokenizer

    from remid_jax.models.config import DecoderConfig, Rope
    from remid_jax.models.decoder import Decoder
    from remid_jax.models.saving import save_model

    tokenizer, pieces = small_tokenizer()
    config = DecoderConfig("llama", pieces, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=True)
    params = nnx.split(Decoder(config, nnx.Rngs(0)))[1]
    params = jax.tree_util.tree_map_with_path(
        lambda p, a: a * (3 if "kernel" in str(p) else 10 if "embedding" in str(p) else 1), params
    )
    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder, config, params, tokenizer)
    return folder


@pytest.fixture(scope="session")
def ending_directory(tmp_path_factory):
    """As `tiny_directory`, but its replies end after a few tokens: one coordinate of every hidden state is large and positive,
    and the head turns it into the end of the turn."""
    import jax
    from flax import nnx
    from small_vocabulary import small_tokenizer

    from remid_jax.models.config import DecoderConfig, Rope
    from remid_jax.models.decoder import Decoder
    from remid_jax.models.saving import save_model

    tokenizer, pieces = small_tokenizer()
    config = DecoderConfig("llama", pieces, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=False)
    params = nnx.split(Decoder(config, nnx.Rngs(1)))[1]
    params = jax.tree_util.tree_map_with_path(
        lambda p, a: a * (50 if "embedding" in str(p) else 40 if "head" in str(p) else 1), params
    )
    params["embedding"][...] = params["embedding"][...].at[:, 0].set(8.0)
    params["head"][...] = params["head"][...].at[:, 0].set(0.0).at[tokenizer.end_of_turn_id, 0].set(3.25)
    folder = tmp_path_factory.mktemp("ending")
    save_model(folder, config, params, tokenizer)
    return folder


@pytest.fixture(scope="session")
def few_records(tmp_path_factory):
    """Three categories of three records of the embedded benchmark, as a JSONL file."""
    from remid_jax.dialogues.reading import read_benchmark
    from remid_jax.dialogues.records import write_jsonl

    benchmark = read_benchmark("package:rpgbench_compact")
    path = tmp_path_factory.mktemp("records") / "few.jsonl"
    write_jsonl(path, [r for c in ("IDTest", "german", "WordLevelComposition") for r in benchmark.test[c][:3]])
    return path
