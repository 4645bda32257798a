"""Language models small enough to write out every reply, scored by the engine: a world in which R-EMID of models is exact.

A context is a user, a character and a dialogue, one token each; a reply is up to two tokens and their end, or three tokens cut
at the limit, together of probability 1. Golden replies follow one random decoder, the policy is another, and two estimators
score both: the golden decoder itself and a third one that is wrong.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from remid_jax.information.mutual_information import club, mismatched_pairs
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices, path_name
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store
from remid_jax.theory.bounds.on_worlds import CERTIFIED, every_bound
from remid_jax.theory.worlds import World, quantities

VOCABULARY, END, LONGEST = 7, 1, 3
FACTOR_SIZE = 3  # users, characters and dialogues; each is one token
OPEN = [token for token in range(VOCABULARY) if token != END]
REPLIES = [
    *((*said, END) for length in range(LONGEST) for said in itertools.product(OPEN, repeat=length)),
    *itertools.product(OPEN, repeat=LONGEST),
]
CONTEXTS = list(itertools.product(OPEN[:FACTOR_SIZE], OPEN[2 : 2 + FACTOR_SIZE], OPEN[3 : 3 + FACTOR_SIZE]))
SEEDS = {"golden": 3, "policy": 5, "wrong": 4}


def model(name: str) -> LanguageModel:
    """A random decoder of two layers whose next-token distributions are far from flat."""
    config = DecoderConfig("llama", VOCABULARY, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 64, tied_embeddings=False)
    params = nnx.split(Decoder(config, nnx.Rngs(SEEDS[name])))[1]
    leaves = [
        (path_name(path), np.asarray(leaf) * (4 if "kernel" in path_name(path) else 10 if "head" in path_name(path) else 1))
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]
    return LanguageModel(
        f"enumerable {name}", config, None, "float32", f"enumerable-{SEEDS[name]}", (END,), lambda: iter(leaves)
    )


def kernels(devices: Devices, store: Store, report: Report) -> dict[str, np.ndarray]:
    """log q(reply | context) [contexts, replies] of each of `SEEDS`, nats, by the engine."""
    requests = [Request(context, [Continuation(reply) for reply in REPLIES]) for context in CONTEXTS]
    found = {}
    for name in SEEDS:
        scores = ScoringEngine(model(name), devices, store, 2048, 1024).score(requests, report)
        found[name] = np.array([[row.astype(np.float64).sum() for row in rows] for rows in scores])
    return found


@dataclasses.dataclass(frozen=True)
class Enumerated:
    """The exact world of the models, and the log-likelihoods [contexts, replies] that it was made of."""

    world: World
    logs: dict[str, np.ndarray]


def enumerated(devices: Devices, store: Store, report: Report, seed: int = 0) -> Enumerated:
    """P draws users evenly; under Q the first user comes nine times as often as each other: a pure user shift."""
    logs = kernels(devices, store, report)
    shape = (FACTOR_SIZE,) * 3
    rng = np.random.default_rng(seed)
    rest = rng.dirichlet(np.ones(FACTOR_SIZE**2), FACTOR_SIZE).reshape(shape)
    users = np.array([9.0, 1.0, 1.0])
    p_x, q_x = rest / FACTOR_SIZE, rest * (users / users.sum())[:, None, None]
    laws = {name: np.exp(of) / np.exp(of).sum(1, keepdims=True) for name, of in logs.items()}
    golden, theta = (laws[name].reshape(*shape, -1) for name in ("golden", "policy"))
    return Enumerated(World(p_x, q_x, golden, golden, theta), logs)


def study(of: Enumerated) -> dict[str, Any]:
    """{"sums": how far replies are from probability 1, "emid", "bounds", "estimators": {estimator: terms}}, exact, nats.

    Under each estimator the population values of `club`: Ihat of golden and policy replies in IDTest and under the shift, and
    the R-EMID they make. The two estimators answer whether results hang on the estimator; the bounds see neither.
    """
    with jax.enable_x64(True):
        found = jax.jit(every_bound)(of.world)
        exact = jax.jit(quantities)(of.world)
    estimators = {}
    laws = [np.asarray(law).ravel() for law in (of.world.p_x, of.world.q_x)]
    replies = {name: np.exp(of.logs[name]) for name in ("golden", "policy")}
    for estimator in ("golden", "wrong"):
        logs = of.logs[estimator]
        terms = {
            f"{name}_{side}": population_club(law, kernel, logs)
            for side, law in zip(("id", "shifted"), laws, strict=True)
            for name, kernel in replies.items()
        }
        emi = {side: terms[f"policy_{side}"] - terms[f"golden_{side}"] for side in ("id", "shifted")}
        estimators[estimator] = terms | {"emi_id": emi["id"], "emid": emi["id"] - emi["shifted"]}
    sums = max(float(np.abs(np.exp(logs).sum(1) - 1).max()) for logs in of.logs.values())
    bounds = {name: float(found[name]) for name in (*CERTIFIED, "published")}
    return {"sums": sums, "emid": float(exact.emid), "emi": float(exact.emi_p), "bounds": bounds, "estimators": estimators}


def population_club(law: np.ndarray, kernel: np.ndarray, logs: np.ndarray) -> float:
    """What `club` estimates, nats a reply, of replies by `kernel` [contexts, replies] in contexts by `law` [contexts], under an
    estimator's log-likelihoods `logs` [contexts, replies]."""
    return float(law @ (kernel * logs).sum(1) - (law @ kernel) @ (law @ logs))


def sampled_club(of: Enumerated, estimator: str, n: int, tables: int, seed: int) -> dict[str, float]:
    """`club` of golden replies in IDTest from `tables` samples of n contexts: {"mean", "rmse"} against its population value."""
    rng = np.random.default_rng(seed)
    law, kernel, logs = np.asarray(of.world.p_x).ravel(), np.exp(of.logs["golden"]), of.logs[estimator]
    kernel = kernel / kernel.sum(1, keepdims=True)
    with jax.enable_x64(True):
        pairs, ones = jnp.asarray(mismatched_pairs(n, 100_000, 0)), jnp.ones(n)
        step = jax.jit(jax.vmap(lambda matrix: club(matrix, ones, pairs)))
        x = rng.choice(len(law), (tables, n), p=law)
        y = (rng.random((tables, n, 1)) > kernel.cumsum(1)[x]).sum(-1).clip(max=kernel.shape[1] - 1)
        values = np.asarray(step(jnp.asarray(logs[x[:, :, None], y[:, None, :]])))
    target = population_club(law, kernel, logs)
    return {"mean": float(values.mean()), "target": target, "rmse": float(np.sqrt(np.mean((values - target) ** 2)))}
