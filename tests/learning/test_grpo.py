"""GRPO end to end on a tiny model: it learns what depends on prompt and completion, and nothing from shuffled advantages."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from tiny import CONFIG

from remid_jax.errors import UserError
from remid_jax.learning.grpo import GroupRelativeRecipe
from remid_jax.learning.objectives import GroupRelative
from remid_jax.learning.rewards import Rewards
from remid_jax.learning.rollouts import Asked
from remid_jax.learning.settings import PolicyLoss
from remid_jax.learning.trainer import Trainer
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices, path_name

SMALL = dataclasses.replace(CONFIG, vocab_size=16)
KEYS, TOKENS, STEPS, DRAWS = 4, 3, 250, 32
pytestmark = pytest.mark.usefixtures("optimised_programs")
ASKED = [Asked(f"key {k}", [2, 4 + k, 3]) for k in range(KEYS)]


def wanted(key, t):
    """The token that is right at place t of the completion, given the prompt's key."""
    return 4 + (key + t) % KEYS


def exact(groups):
    """The share of a completion's tokens that are right for its prompt."""
    return np.array(
        [[np.mean([s.ids[t] == wanted(g.asked.ids[1] - 4, t) for t in range(TOKENS)]) for s in g.samples] for g in groups]
    )


def model(seed):
    params = nnx.split(Decoder(SMALL, nnx.Rngs(seed)))[1]
    leaves = [(path_name(path), np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
    return LanguageModel("small", SMALL, None, "float32", f"small-{seed}", (), lambda: iter(leaves))


def shuffled(groups):
    """The same rewards, each given to a completion of the group that need not have earned it: so are the advantages."""
    ids = [sample.ids for group in groups for sample in group.samples]
    return np.random.default_rng(np.ravel(ids)).permuted(exact(groups), axis=1)


def recipe(seed, rewards=exact):
    parts = Rewards({"exact": (1.0, rewards)})
    return GroupRelativeRecipe(ASKED, parts, DRAWS, Sampler(TOKENS, ()), str, Devices(), KEYS * DRAWS, seed)


def learned(seed, rewards=exact):
    """Mean reward of the last ten steps: 1,280 completions."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, STEPS)))
    objective = GroupRelative(PolicyLoss("dapo", entropy_weight=0.3))
    trainer = Trainer(model(seed), objective, optimizer, Devices(), 2048, 128, seed)
    lesson_of, state, means = recipe(seed, rewards), trainer.start(), []
    for step in range(STEPS):
        lesson = lesson_of(trainer.model_of(state), range(KEYS), step)
        state, _ = trainer.step(state, lesson.requests, lesson.columns)
        means.append(lesson.metrics["reward"])
    return np.mean(means[-10:])


def test_a_policy_blind_to_its_prompt_gets_a_quarter():
    best = [max(np.mean([wanted(k, t) == token for k in range(KEYS)]) for token in range(16)) for t in range(TOKENS)]
    assert np.mean(best) == 0.25


@pytest.mark.parametrize("seed", range(5))
def test_it_learns_what_depends_on_prompt_and_completion(seed):
    assert learned(seed) >= 0.95


def test_it_learns_nothing_from_shuffled_advantages():
    assert learned(0, shuffled) <= 0.6


def test_a_lesson_by_hand():
    """Rewards, advantages, sums and exclusions of one step, from the completions themselves."""

    def partly(groups):
        rewards = exact(groups) + np.arange(DRAWS) / 7
        rewards[0, :] = np.nan
        rewards[1, 3] = np.nan
        rewards[2, :] = 0.5
        return rewards

    found = recipe(0, partly)(model(0), range(KEYS), 0)
    assert [len(request.continuations) for request in found.requests] == [DRAWS - 1, DRAWS, DRAWS]
    rows = found.rollouts[DRAWS : 2 * DRAWS]
    rewards = np.array([np.nan if row["reward"] is None else row["reward"] for row in rows])
    kept = np.delete(rewards, 3)
    np.testing.assert_allclose(found.columns["advantages"][0], (kept - kept.mean()) / (kept.std(ddof=1) + 1e-4), atol=1e-9)
    assert found.columns["advantages"][1] == [0.0] * DRAWS
    assert found.metrics["flat_groups"] == 0.5
    assert found.metrics["excluded"] == pytest.approx((DRAWS + 1) / (KEYS * DRAWS))
    assert (found.metrics["tokens"], found.metrics["truncated"]) == (TOKENS, 1.0)
    assert found.metrics["reward"] == pytest.approx(
        np.nanmean([np.nan if row["reward"] is None else row["reward"] for row in found.rollouts])
    )


def test_a_step_without_any_reward_is_refused():
    with pytest.raises(UserError, match="step 7: no reward is a number, on records key 1, key 2: look at what exact make"):
        recipe(0, lambda groups: np.full((len(groups), DRAWS), np.nan))(model(0), [1, 2], 7)
