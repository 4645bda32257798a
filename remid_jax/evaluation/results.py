"""From stages' data to the results a reader can trust: what was measured, how much, and what speaks against it."""

from __future__ import annotations

import collections
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from remid_jax.dialogues.languages import language_name, language_share
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.parsing import Parsed
from remid_jax.dialogues.records import Record, has_golden
from remid_jax.evaluation.lineages import lineage_warnings
from remid_jax.evaluation.models import described_reading
from remid_jax.evaluation.run import Run
from remid_jax.information.score_table import NO_GOLDEN, NOVEL, SOURCES
from remid_jax.information.verdict import DENSE
from remid_jax.roles.members import described
from remid_jax.roles.reading import thinking_of
from remid_jax.roles.training_runs import checkpoint_of
from remid_jax.scoring.texts import Reply, Thought

SCHEMA_VERSION = 1
PROTOCOL = "1"  # raised when a choice of the measurement protocol changes a number

CONTRIBUTIONS = (
    "What a record adds says which records to read first. It is not for differences between runs or categories: contributions "
    "share contexts, so an interval over them is too narrow. Compare runs with experiments.compare."
)

Arrays = Mapping[str, np.ndarray]


def gathered(
    run: Run,
    made_by: Mapping[str, str | None],
    replies: Mapping[str, Reply],
    features: Mapping[str, Parsed],
    arrays: Arrays,
    estimates: Mapping[str, Any],
) -> tuple[dict[str, Any], list[dict[str, object]]]:
    """Returns what results.json holds, and the rows of samples.parquet.

    `made_by` is the program; `features` are the estimator's core features by record, `arrays` the score table.
    """
    config, models = run.config, run.models
    contributed = {name: contributions(arrays, name, estimates["estimators"]) for name in run.records}
    categories = diagnostics(run.records, run.benchmark.manifest, replies, features, run.excluded, arrays)
    policy, endpoint = models.policy is not None, run.endpoint.described() if run.endpoint else None
    results = {
        "schema_version": SCHEMA_VERSION,
        "kind": "evaluation",
        "program": dict(made_by),
        "config": json.loads(config.to_json()),
        "fingerprints": {
            "benchmark": run.benchmark.fingerprint,
            "prompts": run.prompts.fingerprint,
            "estimator": models.estimator.fingerprint,
            "encoder": models.encoder.fingerprint,
            "policy": models.policy.fingerprint if models.policy else None,
            "replies": _content({name: reply.text for name, reply in replies.items()} if endpoint else run.ready_replies),
            "protocol": PROTOCOL,
        },
        "estimator": {
            "model": config.estimator.model,
            "dtype": config.estimator.dtype,
            "reasoning": config.estimator.reasoning or "generated",
            "adapters": described(config.estimator.adapters, run.pairs, run.members) if run.pairs else None,
        },
        "policy": {
            "model": config.policy.model if policy or endpoint else None,
            "dtype": config.policy.dtype if policy else None,
            "adapter": config.policy.adapter if policy else None,
            "thinking": thinking_of(config.policy.thinking),
            "replies": config.policy.replies or "generated",
            **(trained_in(config.policy.adapter or config.policy.model) if policy else trained_in(None)),
            **({"endpoint": endpoint} if endpoint else {}),
        },
        "first_line": first_line(estimates),
        "reading": {
            "control_tokens": run.reading["control_tokens"],
            "date": run.reading["date"].isoformat(),
            "models": {role: described_reading(model) for role, model in models.by_role().items()},
        },
        "warnings": [
            *warnings(categories, in_sample=run.pairs is not None and run.pairs.protocol == "in_sample"),
            *lineage_warnings(run.records),
        ],
        "categories": categories,
        "estimates": estimates,
        "records": contributed,
        "contributions": CONTRIBUTIONS,
    }
    return results, samples(run.records, run.benchmark.manifest, replies, features, contributed)


def trained_in(source: str | None) -> dict[str, str | int | None]:
    """Returns the training run that a policy is of, and after how many steps: {"run", "step"}, None where it is of none."""
    checkpoint = checkpoint_of(source)
    if checkpoint is None:
        return {"run": None, "step": None}
    return {"run": str(checkpoint.run.folder), "step": checkpoint.step}


def _content(ready: Mapping[str, str] | None) -> str | None:
    """The sha256 of ready replies, wherever they came from."""
    return None if ready is None else hashlib.sha256(json.dumps(ready, sort_keys=True).encode()).hexdigest()


def diagnostics(
    records: Mapping[str, Sequence[Record]],
    manifest: Manifest,
    replies: Mapping[str, Reply],
    features: Mapping[str, Parsed],
    excluded: Mapping[str, Mapping[str, int]],
    arrays: Arrays,
) -> dict[str, dict[str, Any]]:
    """For each category what docs/protocol.md, rule 16, wants printed: counts, exclusions, languages, lengths."""
    found = {}
    for category, members in records.items():
        said = [replies[record.id] for record in members]
        entry = manifest.categories[category]
        spoken = language_share([reply.text for reply in said], entry.language, manifest.languages)
        why = NO_GOLDEN if entry.dial is None else entry.dial.no_golden or NO_GOLDEN
        golden: dict[str, float | str | None] = {"in_language": None, "in_language_reason": why}
        if has_golden(members):
            texts = [record.golden for record in members]
            golden = {"in_language": language_share(texts, entry.language, manifest.languages).share}
            golden["copied"] = _copied(arrays[f"{category}/tokens_by_source/golden"])
            golden["at_horizon"] = _at_horizon(arrays, category)
        found[category] = {
            "shift": entry.shift,
            "reference": entry.reference,
            "language": language_name(entry.language) if entry.language else None,
            "language_tag": entry.language,
            "dial": None if entry.dial is None else {"curve": entry.dial.curve, "position": entry.dial.position},
            "records": len(members),
            "excluded": [{"record": name, "tokens": tokens} for name, tokens in excluded.get(category, {}).items()],
            "replies": {
                "truncated": sum(not reply.finished for reply in said),
                "empty": sum(not reply.text for reply in said),
                "different": len({reply.text for reply in said}),
                "thoughts": _thoughts([reply.thought for reply in said if reply.thought is not None]),
                "in_language": spoken.share,
                "in_language_reason": spoken.reason,
                "detected": dict(sorted(collections.Counter(name or "undetected" for name in spoken.detected).items())),
            },
            "golden": golden,
            "reasoning_fallbacks": sum(features[record.id].fallback for record in members),
            "tokens_per_char": {side: _density(arrays, category, side) for side in ("golden", "policy")},
        }
    return found


def _thoughts(thoughts: Sequence[Thought]) -> dict[str, int]:
    """Of the replies that came after a thought: how many, how many came to no end of it, and the tokens of thoughts in all."""
    return {
        "replies": len(thoughts),
        "cut": sum(not thought.ended for thought in thoughts),
        "tokens": sum(thought.tokens for thought in thoughts),
    }


def _copied(tokens: np.ndarray) -> float:
    """The share of tokens, by reply and source, that say the context back."""
    return float(tokens[:, [SOURCES.index(source) for source in SOURCES if source not in NOVEL]].sum() / tokens.sum())


def _at_horizon(arrays: Arrays, category: str) -> float:
    """The share of golden replies as long as the horizon, of which what may come then is not scored."""
    if f"{category}/horizon" not in arrays:
        return 0.0
    return float(np.mean(arrays[f"{category}/tokens/golden"] >= arrays[f"{category}/horizon"]))


def _density(arrays: Arrays, category: str, replies: str) -> float | None:
    if f"{category}/chars/{replies}" not in arrays:
        return None
    chars = int(arrays[f"{category}/chars/{replies}"].sum())
    return int(arrays[f"{category}/tokens/{replies}"].sum()) / chars if chars else None


def warnings(categories: Mapping[str, Mapping[str, Any]], in_sample: bool = False) -> list[str]:
    """What else than the policy's generalisation may move the numbers, one sentence a kind."""
    shares: dict[tuple[int, str], dict[str, str]] = {}
    for name, category in categories.items():
        densities, replies, count = category["tokens_per_char"], category["replies"], category["records"]
        golden, policy, spoken = densities["golden"], densities["policy"], replies["in_language"]
        copied, cut = (category["golden"].get(name) or 0.0 for name in ("copied", "at_horizon"))
        kinds = (
            (
                spoken is not None and spoken <= 0.5,
                "replies not in the user's language, which no number here counts as a fault",
                f"{round((1 - (spoken or 0)) * count)}/{count}",
            ),
            (bool(category["excluded"]), "over-long records excluded", f"{len(category['excluded'])}"),
            (replies["truncated"] > 0.1 * count, "replies cut at the token limit", f"{replies['truncated']}/{count}"),
            (replies["thoughts"]["cut"] > 0, "thoughts cut at the token limit", f"{replies['thoughts']['cut']}/{count}"),
            (replies["empty"] > 0.1 * count, "empty replies", f"{replies['empty']}/{count}"),
            (replies["different"] == 1 < count, "the same reply to all", f"{count}/{count}"),
            (copied > 0.5, "golden replies mostly say their own context back, so little is novel", f"{copied:.0%}"),
            (cut > 0.5, "golden replies go on beyond the horizon, and are scored as far as it alone", f"{cut:.0%}"),
            (
                bool(golden and policy and _far(golden, policy)),
                "rates per token compare unlike text, tokens a character of replies and golden ones",
                f"{policy or 0:.2f} and {golden or 0:.2f}",
            ),
            (
                category["reasoning_fallbacks"] > 0,
                "reasonings without a block of core features",
                f"{category['reasoning_fallbacks']}/{count}",
            ),
        )
        for place, (due, kind, text) in enumerate(kinds):
            if due:
                shares.setdefault((place, kind), {})[name] = text
    found = [f"{kind}: {_told(texts, len(categories))}" for (_, kind), texts in sorted(shares.items())]
    found += _unlike_scripts(categories)
    if in_sample:
        found.append(
            "the estimator was trained on records that it scores (in_sample): golden replies look better than they are"
        )
    return found


def _told(texts: Mapping[str, str], categories: int) -> str:
    """What is said of each category, once where it is the same of all."""
    if len(texts) == categories > 1 and len(set(texts.values())) == 1:
        return f"{next(iter(texts.values()))} in every category"
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def _unlike_scripts(categories: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where golden replies of a category and of its reference have unlike numbers of tokens a character; of those under a shift
    the verdict says it."""
    densities = {name: category["tokens_per_char"]["golden"] for name, category in categories.items()}
    dense: dict[str, list[str]] = {}
    for name, category in categories.items():
        density, reference = densities[name], category["reference"]
        if (
            category["shift"] is None
            and density
            and reference
            and (of_reference := densities[reference])
            and _far(density, of_reference)
        ):
            dense.setdefault(reference, []).append(name)
    return [
        f"golden replies of {', '.join(names)} take over {DENSE} times as many tokens a character as {reference}'s: "
        "do not compare rates per token across them"
        for reference, names in dense.items()
    ]


def _far(a: float, b: float) -> bool:
    return max(a, b) > DENSE * min(a, b)


def first_line(estimates: Mapping[str, Any]) -> str:
    """What a reader must see before any number: whether reasoning hurt the estimator, else the riskiest shift."""
    gains = [
        category["reasoning_gain"]["per_token"] for category in estimates["categories"].values() if "reasoning_gain" in category
    ]
    gains = [gain for gain in gains if gain["value"] is not None]
    if worse := [gain for gain in gains if gain["value"] < 0]:
        shown = sum((of["interval"] or {}).get("high") is not None and of["interval"]["high"] < 0 for of in worse)
        mean = float(np.mean([gain["value"] for gain in gains]))
        beside = "read R-EMI beside EMI without reasoning"
        if "plain" not in estimates["estimators"]:
            beside += ", which this run has not measured (config.estimator.plain=golden; without that setting it is)"
        return (
            f"Reasoning makes golden replies LESS likely in {len(worse)} of {len(gains)} categories, in {shown} beyond their "
            f"intervals (mean change {mean:+.3f} nats per token): {beside}."
        )
    headline = estimates["headline"]
    if headline["shifts"] is None:
        return f"No headline: {headline['reason']}."
    ranked = sorted(
        ((row["value"], shift) for shift, row in headline["shifts"].items() if row["value"] is not None), reverse=True
    )
    if not ranked:
        return "No headline: no shift could be estimated."
    name = "R-EMID" if headline["scorer"] == "reasoned" else "EMID"
    return f"{name} is largest under {ranked[0][1]} shift: {ranked[0][0]:+.4f} ({headline['estimator']}, {headline['unit']})."


def contributions(arrays: Arrays, category: str, scorers: Sequence[str]) -> list[dict[str, Any]]:
    """What each record adds: its replies' log-likelihoods at home, and its share of `club`, whose mean is the estimate.

    The share of record i, nats per token, is S[i,i] - (mean_{j != i} S[i,j] + mean_{j != i} S[j,i]) / 2, S = L / tokens, j of
    the same fold. What there are no replies for is None.
    """
    names, lineages = arrays[f"{category}/record"], arrays[f"{category}/lineage"]
    fold = arrays.get(f"{category}/fold", np.zeros(len(names)))
    rows: list[dict[str, Any]] = [{"record": str(n), "lineage": str(g)} for n, g in zip(names, lineages, strict=True)]
    for name, clusters in arrays.items():
        if name.startswith(f"{category}/cluster/"):
            for row, cluster in zip(rows, clusters, strict=True):
                row[f"cluster_{name.removeprefix(f'{category}/cluster/')}"] = str(cluster)
    for side in ("golden", "policy"):
        if f"{category}/tokens/{side}" not in arrays:
            columns = ("tokens", "chars", *(f"{kind}_{scorer}" for scorer in scorers for kind in ("loglik", "club")))
            for row in rows:
                row |= dict.fromkeys(f"{side}_{column}" for column in columns)
            continue
        tokens, chars = arrays[f"{category}/tokens/{side}"], arrays[f"{category}/chars/{side}"]
        for i, row in enumerate(rows):
            row[f"{side}_tokens"], row[f"{side}_chars"] = int(tokens[i]), int(chars[i])
        for scorer in scorers:
            loglik = arrays[f"{category}/loglik/{scorer}/{side}"]
            share = np.empty(len(rows))
            for block in (np.flatnonzero(fold == f) for f in np.unique(fold)):
                rates = (loglik / tokens)[np.ix_(block, block)]
                own = np.diagonal(rates)
                share[block] = own - (rates.sum(0) + rates.sum(1) - 2 * own) / (2 * (len(block) - 1))
            for i, row in enumerate(rows):
                row[f"{side}_loglik_{scorer}"] = float(loglik[i, i])
                row[f"{side}_club_{scorer}"] = float(share[i])
    return rows


def samples(
    records: Mapping[str, Sequence[Record]],
    manifest: Manifest,
    replies: Mapping[str, Reply],
    features: Mapping[str, Parsed],
    contributed: Mapping[str, Sequence[Mapping[str, object]]],
) -> list[dict[str, object]]:
    """One row a record: its texts, and its contributions."""
    return [
        {
            "record": record.id,
            "category": category,
            "shift": manifest.categories[category].shift,
            "lineage": record.lineage,
            "user_persona": record.user_persona,
            "character": record.character_text,
            "dialogue": record.dialogue_text,
            "last_query": record.dialogue[-1].text,
            "golden": record.golden or None,
            "reasoning": features[record.id].text,
            "reasoning_fallback": features[record.id].fallback,
            "reply": replies[record.id].text,
            "reply_finished": replies[record.id].finished,
            "thought": thought.text if (thought := replies[record.id].thought) else None,
            "thought_tokens": thought.tokens if thought else 0,
            **{key: value for key, value in numbers.items() if key not in ("record", "lineage")},
        }
        for category, members in records.items()
        for record, numbers in zip(members, contributed[category], strict=True)
    ]


def parquet_bytes(table: pa.Table) -> bytes:
    """Returns the table as a Parquet file; the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
