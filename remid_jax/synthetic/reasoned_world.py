"""A world of role-playing records in which reasoning can help, small enough to know every quantity of R-EMID exactly.

A context is a user, a character and a dialogue, a word each. The three together, and no two of them, decide which core feature
the golden reply has; the feature decides with what probability it is which of eight phrases. So who names the feature first
replies by one law a feature, learnt from many records, and who does not needs a law a context, learnt from a few. The teacher
takes the rarest user for the most common one, and sometimes just names a feature that would fit the reply it has seen: what it
teaches of the rarest user is wrong, and the likelihood of golden replies tells better.

Under P each factor is drawn by itself, from common values to rare ones. A shift turns that order round for one factor; golden
replies keep their law.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from remid_jax.dialogues.parsing import MARKER
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.synthetic.enumerable import population_club
from remid_jax.theory.worlds.quantities import information

USERS = ("Ana", "Bo", "Cy")
CHARACTERS = ("baker", "knight", "pilot", "witch")
DIALOGUES = ("bread", "battle", "weather", "luck")
FEATURES = ("warm", "stern", "sly", "shy", "merry")
REPLIES = ("yes", "no", "not now", "of course", "come with me", "go away", "who knows", "as you wish")

ID, SHIFTS = "id", ("user", "character", "dialogue")
SHARES = ((0.5, 0.3, 0.2), (0.4, 0.3, 0.2, 0.1), (0.4, 0.3, 0.2, 0.1))  # of users, characters, dialogues under P
FEATURE = (2 * np.arange(3)[:, None, None] + np.arange(4)[:, None] + np.arange(4)) % len(FEATURES)  # [U, C, D]
LIKELY = np.array([0.46, 0.22, 0.12, 0.04, 0.04, 0.04, 0.04, 0.04])  # of a feature's replies, from its own one on
BY_FEATURE = np.stack([np.roll(LIKELY, z) for z in range(len(FEATURES))])  # p(y | z) [Z, Y]
GOLDEN = BY_FEATURE[FEATURE]  # p(y | x) [U, C, D, Y]
TAUGHT = FEATURE[[0, 1, 0]]  # the feature that the teacher sees in a context
RELIABLE = 0.7  # how often it names that one, whatever the reply


def _product(shares: tuple[tuple[float, ...], ...]) -> np.ndarray:
    return np.einsum("u,c,d->ucd", *map(np.array, shares))


LAWS = {ID: _product(SHARES)} | {
    shift: _product((*SHARES[:k], SHARES[k][::-1], *SHARES[k + 1 :])) for k, shift in enumerate(SHIFTS)
}
"""The law of contexts [U, C, D], in distribution and under each shift."""


def policies() -> dict[str, np.ndarray]:
    """Kernels p(y' | x) [U, C, D, Y] of policies of known faults, each worse where P seldom looks."""
    doubt = np.array([0.1, 0.3, 0.5, 0.7])[:, None, None]  # of each character
    return {
        "flattened": (1 - doubt) * GOLDEN + doubt / len(REPLIES),
        "user_blind": np.broadcast_to(GOLDEN[:1], GOLDEN.shape),  # to everybody as to the most common user
        "dialogue_confused": GOLDEN[:, :, [0, 1, 0, 1]],  # rare dialogues taken for common ones
    }


def contexts() -> list[Record]:
    """Every context, in the order of the laws' entries; the golden reply is the likeliest."""
    replies = [REPLIES[y] for y in GOLDEN.reshape(-1, len(REPLIES)).argmax(1)]
    return [
        _record(" ".join(words), words, reply)
        for words, reply in zip(itertools.product(USERS, CHARACTERS, DIALOGUES), replies, strict=True)
    ]


def drawn(count: int, seed: int) -> tuple[list[Record], dict[str, str]]:
    """`count` records of P, and the teacher's reasoning by record.

    Raises:
      UserError: for fewer than two records, of which a benchmark consists at least.
    """
    if count < 2:
        raise UserError(f"config.world.records={count}: a benchmark has at least 2 records")
    rng = np.random.default_rng([seed, 0x776F726C])  # apart from other draws of the seed
    everyone, law = contexts(), LAWS[ID].ravel()
    records, reasoning = [], {}
    for n, x in enumerate(rng.choice(len(law), count, p=law)):
        y = rng.choice(len(REPLIES), p=BY_FEATURE[FEATURE.ravel()[x]])
        fitting = BY_FEATURE[:, y] / BY_FEATURE[:, y].sum()
        named = TAUGHT.ravel()[x] if rng.random() < RELIABLE else rng.choice(len(FEATURES), p=fitting)
        of = everyone[x]
        words = (of.user_persona, of.agent_character["is"], of.dialogue[0].text)
        records.append(_record(f"{n} {of.id}", words, REPLIES[y]))
        reasoning[records[-1].id] = f"```\n{MARKER}\n{core_feature(named)}\n```"
    return records, reasoning


def core_feature(z: int | np.integer) -> str:
    """Feature z as a block of core features names it."""
    return f"- {FEATURES[z]}"


def _record(name: str, words: tuple[str, ...], reply: str) -> Record:
    user, character, dialogue = words
    return Record(name, user, {"is": character}, (Turn("user", dialogue),), reply, "IDTest")


def measures(logs: np.ndarray) -> dict[str, Any]:
    """What an estimator of log-likelihoods log q(y | x), [contexts, replies] in nats, makes of the world, in the population.

    {"golden_information": Ihat of golden replies by law, "r_emi": {policy: by law}, "r_emid": {policy: by shift}}, by `club`,
    nats a reply.
    """

    def by_law(kernel: np.ndarray) -> dict[str, float]:
        flat = kernel.reshape(logs.shape)
        return {name: population_club(law.ravel(), flat, logs) for name, law in LAWS.items()}

    golden = by_law(GOLDEN)
    said = {policy: by_law(kernel) for policy, kernel in policies().items()}
    emi = {policy: {name: of[name] - golden[name] for name in LAWS} for policy, of in said.items()}
    emid = {policy: {shift: of[ID] - of[shift] for shift in SHIFTS} for policy, of in emi.items()}
    return {"golden_information": golden, "r_emi": emi, "r_emid": emid}


def truth() -> dict[str, Any]:
    """The `measures` of the golden kernel itself; by it Ihat of golden replies is I(X;Y) + KL(p_x p_y || p_xy), exactly.

    Beside them, nats: "mutual_information", I(X;Y) of golden replies by law, "emi", I(X;Y') - I(X;Y) of every policy by law,
    and "golden_log_likelihood", -H(Y|X) under P, which no estimator exceeds.
    """
    with jax.enable_x64(True):

        def by_law(kernel: np.ndarray) -> dict[str, float]:
            return {name: float(information(jnp.asarray(law), jnp.asarray(kernel))) for name, law in LAWS.items()}

        known, said = by_law(GOLDEN), {policy: by_law(kernel) for policy, kernel in policies().items()}
    emi = {policy: {name: of[name] - known[name] for name in LAWS} for policy, of in said.items()}
    logs = np.log(GOLDEN).reshape(-1, len(REPLIES))
    likelihood = golden_log_likelihood(logs)
    return measures(logs) | {"mutual_information": known, "emi": emi, "golden_log_likelihood": likelihood}


def golden_log_likelihood(logs: np.ndarray) -> float:
    """E log q(y | x) of golden replies under P, nats a reply."""
    return float(LAWS[ID].ravel() @ (GOLDEN.reshape(logs.shape) * logs).sum(1))


def compared(logs: np.ndarray) -> dict[str, Any]:
    """The `measures` of an estimator, and their errors, estimate minus truth, nats a reply.

    {"r_emid_error": {policy: by shift}, "r_emid_rmse" over all of those, "r_emid_rmse_of_zero", that of always saying 0,
    "golden_information_error" under P,
    "golden_log_likelihood_gap": -E KL(p || q) under P, at most 0 for a law over the replies and others}.
    """
    found, right = measures(logs), truth()
    errors = {policy: _minus(of, right["r_emid"][policy]) for policy, of in found["r_emid"].items()}
    flat = [error for of in errors.values() for error in of.values()]
    return found | {
        "r_emid_error": errors,
        "r_emid_rmse": float(np.sqrt(np.mean(np.square(flat)))),
        "r_emid_rmse_of_zero": rmse_of_zero(right),
        "golden_information_error": found["golden_information"][ID] - right["golden_information"][ID],
        "golden_log_likelihood_gap": golden_log_likelihood(logs) - right["golden_log_likelihood"],
    }


def rmse_of_zero(right: Mapping[str, Any]) -> float:
    """The "r_emid_rmse" of an estimator that always says 0, where `right` is the truth."""
    return float(np.sqrt(np.mean([value**2 for by_shift in right["r_emid"].values() for value in by_shift.values()])))


def _minus(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a[name] - b[name] for name in a}
