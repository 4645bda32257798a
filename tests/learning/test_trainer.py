"""A training step against torch, a group packed in a row against rows apart, dropout, and a loss that is not a number."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import peft
import pytest
import torch
import transformers
from tiny import CONFIG, tiny_model
from training import LORA, groups, learner, moved_adapter

from remid_jax.errors import UserError
from remid_jax.learning.objectives import GroupRelative, Likelihood, Preference
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.adapters import named
from remid_jax.models.peft_files import save_adapter
from remid_jax.models.saving import save_model
from remid_jax.parallel import Devices
from remid_jax.scoring.requests import Continuation, Request

GRADIENT = optax.sgd(1.0)  # the change it makes is the gradient, mean over the count, with a minus


def gradient(objective, requests, columns, lora=LORA, tokens_per_step=512, max_row=256, model=None, seed=0):
    """({path: gradient}, metrics) of one step."""
    trainer = Trainer(model or learner(lora), objective, GRADIENT, Devices(), tokens_per_step, max_row, seed)
    state = trainer.start()
    before = {name: np.asarray(a) for name, a in named(state.trainable).items()}
    state, metrics = trainer.step(state, requests, columns)
    assert int(state.step) == 1
    return {name: before[name] - np.asarray(a) for name, a in named(state.trainable).items()}, metrics


def grpo_columns(requests, seed=0):
    rng = np.random.default_rng(seed)
    lengths = [[len(c.ids) for c in request.continuations] for request in requests]
    return {
        "advantages": [[float(rng.normal()) for _ in row] for row in lengths],
        "sampled": [[rng.normal(-3, 1, n) for n in row] for row in lengths],
        "reference": [[rng.normal(-3, 1, n) for n in row] for row in lengths],
    }


def apart(requests, columns):
    """Every completion a request of its own."""
    alone = [Request(request.prefix, [c]) for request in requests for c in request.continuations]
    return alone, {name: [[value] for row in values for value in row] for name, values in columns.items()}


def assert_same(a, b, rtol=1e-4):
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=rtol, atol=rtol * np.abs(a[name]).max(), err_msg=name)


@pytest.mark.parametrize("aggregation", ["grpo", "dr_grpo", "dapo"])
def test_a_packed_groups_gradient_is_that_of_rows_apart(aggregation):
    requests = groups()
    columns = grpo_columns(requests)
    objective = GroupRelative(PolicyLoss(aggregation, penalty="k2", penalty_weight=0.1, entropy_weight=0.01, max_tokens=14))
    packed, metrics = gradient(objective, requests, columns)
    separate, same = gradient(objective, *apart(requests, columns))
    in_parts, _ = gradient(objective, requests, columns, tokens_per_step=64, max_row=64)
    assert_same(packed, separate)
    assert_same(packed, in_parts)
    assert metrics == pytest.approx(same, rel=1e-4)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    directory = tmp_path_factory.mktemp("base")
    save_model(directory, CONFIG, tiny_model().params, None)
    return directory


def torch_logliks(model, request):
    """Log-likelihoods of the completions, each sequence alone."""
    found = []
    for continuation in request.continuations:
        ids = torch.tensor([[*request.prefix, *continuation.ids]])
        logprobs = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        found.append(logprobs[len(request.prefix) - 1 :])
    return found


def in_torch(base, tmp_path):
    save_adapter(tmp_path, moved_adapter(), tiny_model())
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return peft.PeftModel.from_pretrained(model, tmp_path, is_trainable=True)


def torch_gradients(model):
    """Of the adapter, by our paths."""
    ours = {"q_proj": "attention/query", "k_proj": "attention/key", "v_proj": "attention/value", "o_proj": "attention/output"}
    ours |= {f"{name}_proj": f"mlp/{name}" for name in ("gate", "up", "down")}
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts = name.split(".")
            path = f"layers/{ours[parts[6]]}/lora/{parts[7][-1].lower()}"
            found.setdefault(path, {})[int(parts[4])] = parameter.grad.numpy().T
    return {path: np.stack([of[layer] for layer in sorted(of)]) for path, of in found.items()}


def test_the_gradient_of_sft_is_torchs(base, tmp_path):
    requests = groups()
    ours, metrics = gradient(Likelihood(), requests, {})
    model = in_torch(base, tmp_path)
    logprobs = torch.cat([row for request in requests for row in torch_logliks(model, request)])
    loss = -logprobs.mean()
    loss.backward()
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert_same(torch_gradients(model), ours)


def test_the_gradient_of_dpo_is_torchs(base, tmp_path):
    requests = [Request(r.prefix, r.continuations[:2]) for r in groups()]
    reference = np.random.default_rng(0).normal(-40, 5, (4, 2))
    ours, metrics = gradient(Preference(0.05), requests, {"reference": reference.tolist()})
    model = in_torch(base, tmp_path)
    losses = []
    for request, (ref_chosen, ref_rejected) in zip(requests, reference, strict=True):
        chosen, rejected = (row.sum() for row in torch_logliks(model, request))
        losses.append(-torch.nn.functional.logsigmoid(0.05 * ((chosen - ref_chosen) - (rejected - ref_rejected))))
    loss = torch.stack(losses).mean()
    loss.backward()
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert_same(torch_gradients(model), ours)


def test_full_fine_tuning_has_torchs_gradient_too(base):
    requests = groups()
    ours, metrics = gradient(Likelihood(), requests, {}, model=tiny_model())
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    loss = -torch.cat([row for request in requests for row in torch_logliks(model, request)]).mean()
    loss.backward()
    theirs = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert_same(
        {
            "embedding": theirs["model.embed_tokens.weight"],
            "head": theirs["lm_head.weight"],
            "layers/mlp/down/kernel": np.stack([theirs[f"model.layers.{n}.mlp.down_proj.weight"].T for n in range(2)]),
            "layers/attention_norm/scale": np.stack([theirs[f"model.layers.{n}.input_layernorm.weight"] for n in range(2)]),
        },
        ours,
    )


def test_dropout_depends_on_seed_step_and_row_alone():
    dropped = functools.partial(gradient, Likelihood(), groups(), {}, dataclasses.replace(LORA, dropout=0.3), max_row=64)
    first, _ = dropped(seed=1)
    again, _ = dropped(seed=1, tokens_per_step=64)
    other, _ = dropped(seed=2)
    assert_same(first, again)
    assert np.abs(first["layers/mlp/up/lora/b"] - other["layers/mlp/up/lora/b"]).max() > 1e-3


def test_dropout_keeps_the_expectation_of_an_adapters_output():
    from remid_jax.models.lora import _kept

    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 8))
    kept = np.asarray(_kept(keys, 0.3, (50, 40)))
    assert set(np.unique(kept).round(4)) == {0.0, np.float32(1 / 0.7).round(4)}
    assert kept.mean() == pytest.approx(1, abs=4 * np.sqrt(0.3 / 0.7 / kept.size))
    assert np.abs(kept[0] - kept[1]).max() > 1


def test_a_loss_that_is_not_a_number_leaves_the_state_as_it_was():
    requests = groups()
    columns = grpo_columns(requests)
    trainer = Trainer(learner(), GroupRelative(PolicyLoss()), optax.adamw(0.1), Devices(), 512, 256, 0)
    state, _ = trainer.step(trainer.start(), requests, columns)
    before = jax.tree.map(np.asarray, state)
    columns["advantages"][1][2] = np.nan
    state, metrics = trainer.step(state, requests, columns)
    assert np.isnan(metrics["loss"])
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(before), jax.tree.leaves(jax.tree.map(np.asarray, state)))


def test_requests_that_cannot_be_trained_on_are_refused():
    trainer = Trainer(learner(), Likelihood(), GRADIENT, Devices(), 512, 256, 0)
    for request, said in (
        (Request([5], [Continuation([])]), "no token to score"),
        (Request([], [Continuation([5])]), "empty prefix"),
        (Request([5], [Continuation([97])]), "not below its vocabulary size"),
    ):
        with pytest.raises(UserError, match=said):
            trainer.step(trainer.start(), [request], {})
    with pytest.raises(UserError, match="training shards its state"):
        Trainer(learner(), Likelihood(), GRADIENT, Devices("pmap"), 512, 256, 0)
