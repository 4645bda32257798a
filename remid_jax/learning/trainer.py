"""A training step: requests -> rows -> gradients, summed over device batches -> one division -> Optax."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from remid_jax.errors import UserError
from remid_jax.learning.losses import Reduced
from remid_jax.learning.objectives import Objective
from remid_jax.learning.rows import TrainingBatch, batch_rows, in_buckets, pack, training_batch
from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.loading import Dtype, LanguageModel, with_params
from remid_jax.parallel import Devices, parameter_shardings
from remid_jax.scoring.engine import attention_knee, check_texts
from remid_jax.scoring.filling import bucket_of
from remid_jax.scoring.head import ask
from remid_jax.scoring.kernel import at_parents
from remid_jax.scoring.requests import Request

Columns = Mapping[str, Sequence[Sequence[np.ndarray | float]]]


class TrainState(NamedTuple):
    """What a step changes: how many were made, the parameters that learn (float32), the optimizer's moments."""

    step: Int[Array, ""]
    trainable: nnx.State
    moments: optax.OptState


class Trainer:
    """Makes steps on the adapter of `model`, or on all its parameters if it has none.

    Sums and counts of the objective are added up over all device batches of a step and divided once, so a step does not depend
    on how many devices or batches share it ("bnpo" excepted, whose unit is the device batch).
    """

    def __init__(
        self,
        model: LanguageModel,
        objective: Objective,
        optimizer: optax.GradientTransformation,
        devices: Devices,
        tokens_per_step: int,
        max_row: int,
        seed: int,
    ):
        if devices.parallel != "mesh":
            raise UserError('config.parallel="pmap" is for measuring: training shards its state, use "mesh"')
        self.model, self.objective, self.optimizer, self.devices = model, objective, optimizer, devices
        self.tokens_per_step, self.max_row, self.seed = tokens_per_step, max_row, seed

    @functools.cached_property
    def _frozen(self) -> nnx.State | None:
        return None if self.model.base is None else self.model.base.params

    def start(self) -> TrainState:
        """The state before the first step: the model's own parameters, in float32, and the optimizer's zeros."""
        began = self.model.params if self.model.added is None else self.model.added

        def begin(trainable: nnx.State) -> TrainState:
            trainable = jax.tree.map(lambda a: a.astype(jnp.float32), trainable)
            return TrainState(jnp.int32(0), trainable, self.optimizer.init(trainable))

        return jax.jit(begin, out_shardings=self.shardings(jax.eval_shape(begin, began)))(began)

    def shardings(self, state: TrainState) -> TrainState:
        """Where every leaf of a state (arrays or shapes) lives."""
        return parameter_shardings(state, self.devices.mesh)

    def renewed(self, state: TrainState) -> TrainState:
        """The same parameters and step number, the moments of an optimizer that has not begun."""

        def renew(state: TrainState) -> TrainState:
            return state._replace(moments=self.optimizer.init(state.trainable))

        return jax.jit(renew, out_shardings=self.shardings(jax.eval_shape(renew, state)))(state)

    def model_of(self, state: TrainState) -> LanguageModel:
        """The model with a state's parameters; its fingerprint names the run's seed and step, not every number."""
        fingerprint = f"{self.model.fingerprint} seed {self.seed} step {int(state.step)}"
        if self.model.added is not None:
            return dataclasses.replace(self.model, added=state.trainable, fingerprint=fingerprint)
        return with_params(self.model, whole(None, state.trainable, self.model.dtype), fingerprint)

    def step(self, state: TrainState, requests: Sequence[Request], columns: Columns) -> tuple[TrainState, dict[str, float]]:
        """One update from the completions of `requests`; `columns[name][request][completion]` goes to the objective.

        `state` must not be used afterwards. The metrics are means: "loss", what the objective logs, "gradient_norm". Where
        the norm is not finite, the state returned is the one given.

        Raises:
          UserError: for a request that cannot be trained on (see `rows.pack`).
        """
        number = int(state.step)
        rows = pack(requests, self.max_row, attention_knee(self.model.config))
        longest = max(int(of.row.positions.max()) + 1 for of in rows)
        check_texts(self.model, (of.row.tokens for of in rows), longest)
        tokens = bucket_of(max(len(indices) for of in rows for _, indices in of.completions))
        completions = _power_of_two(max(len(of.completions) for of in rows), least=2)
        buckets, shares = [of.row.bucket for of in rows], self.devices.rows
        total: Any = None
        for numbers in in_buckets(buckets, range(len(rows)), lambda bucket: batch_rows(bucket, self.tokens_per_step, shares)):
            size = min(
                batch_rows(buckets[numbers[0]], self.tokens_per_step, shares),
                _power_of_two(-(-len(numbers) // shares)) * shares,
            )
            keys = _dropout_keys(self.seed, number, np.asarray(numbers))
            batch = training_batch([rows[n] for n in numbers], size, completions, tokens, columns, keys)
            gradients = _gradients(self.model.config, self.objective, self.model.dtype, self.devices)
            part = gradients(self._frozen, state.trainable, self.devices.place_batch(batch))
            total = part if total is None else _add(total, part)
        sums, logged = total
        update = _updating(self.optimizer, self.devices.mesh)
        state, norm = update(state, sums, logged["loss"][1])
        metrics = {name: float(of) / max(float(count), 1e-30) for name, (of, count) in jax.device_get(logged).items()}
        metrics["gradient_norm"] = float(norm)
        return state, metrics


def completion_statistics(
    config: DecoderConfig, params: nnx.State, batch: TrainingBatch
) -> tuple[Float[Array, "B K N"], Float[Array, "B K N"]]:
    """(log-probabilities of every completion's tokens, entropies of what they were drawn from), nats; 0 outside of the mask."""
    model, rows = bind(config, params), batch.rows
    hidden = model(rows.tokens, TokenTree(rows.positions, rows.ends), dropout=batch.dropout)
    found = ask(config, "entropies", at_parents(hidden, rows.parents), model.words, rows.targets, rows.scored)
    logprobs, entropies = (jnp.take_along_axis(a[:, None], batch.slots, axis=2) * batch.mask for a in found)
    return logprobs, entropies


@functools.lru_cache(maxsize=64)
def _gradients(config: DecoderConfig, objective: Objective, dtype: Dtype, devices: Devices) -> Callable:
    """(frozen, trainable, batch) -> (gradient of the objective's sum, {"loss": (sum, count), what else is logged})."""

    def gradients(frozen: nnx.State | None, trainable: nnx.State, batch: TrainingBatch) -> tuple[nnx.State, dict[str, Reduced]]:
        def loss(trainable: nnx.State) -> tuple[Array, dict[str, Reduced]]:
            params = whole(frozen, trainable, dtype)
            logprobs, entropies = completion_statistics(config, params, batch)
            reduced, logged = objective(logprobs, entropies, batch.mask, batch.columns)
            return reduced[0], {"loss": reduced} | logged

        sums, logged = jax.grad(loss, has_aux=True)(trainable)
        return sums, logged

    return devices.spread(gradients)


def whole(frozen: nnx.State | None, trainable: nnx.State, dtype: Dtype) -> nnx.State:
    """The parameters of a forward pass: the base's with the adapter's, or all that learn in the dtype that computes."""
    if frozen is None:
        return jax.tree.map(lambda a: a.astype(dtype), trainable)
    return nnx.merge_state(frozen, trainable)


@jax.jit
def _add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)


@functools.lru_cache(maxsize=16)
def _updating(optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh) -> Callable:
    """(state, summed gradient, count) -> (state, norm of the mean gradient); the state stays as it is if that is not finite."""

    def update(state: TrainState, sums: nnx.State, count: Array) -> tuple[TrainState, Array]:
        mean = jax.tree.map(lambda a: a / jnp.maximum(count, 1e-30), sums)
        norm = optax.global_norm(mean)
        changes, moments = optimizer.update(mean, state.moments, state.trainable)
        new = TrainState(state.step + 1, optax.apply_updates(state.trainable, changes), moments)
        new = jax.tree.map(lambda a, b: jnp.where(jnp.isfinite(norm), a, b), new, state)
        return jax.lax.with_sharding_constraint(new, parameter_shardings(new, mesh)), norm

    return jax.jit(update, donate_argnums=0)


def _dropout_keys(seed: int, step: int, rows: np.ndarray) -> np.ndarray:
    """A key for every row of a step, [rows, 2]."""
    return jax.device_get(_row_keys(*jax.device_put((np.int32(seed), np.int32(step), rows.astype(np.int32)))))


@jax.jit
def _row_keys(seed: Array, step: Array, rows: Array) -> Array:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), 0x64726F70)  # "drop": apart from other draws
    return jax.vmap(lambda row: jax.random.key_data(jax.random.fold_in(key, row)))(rows)


def _power_of_two(count: int, least: int = 1) -> int:
    """The smallest power of two that is at least `count`: few shapes, few compilations."""
    return max(least, 1 << (count - 1).bit_length())
