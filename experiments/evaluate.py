"""R-EMID of a role-playing model: reason -> respond -> score -> embed -> estimate -> report.

    python -m experiments.evaluate --config=configs/quickstart.py

Your own model: --config.policy.model=DIRECTORY_OR_HUB_ID. Ready replies of any model: --config.policy.replies=FILE.jsonl.
Writes to the workdir: results.json, samples.parquet, scores.npz, figures/, report.html, run.json (times and counts).
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

import remid_jax
from remid_jax.dialogues.parsing import Parsed, core_features
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark, read_reasoning, read_replies
from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.errors import UserError
from remid_jax.evaluation import contexts
from remid_jax.evaluation import questions as asking
from remid_jax.evaluation import results as results_of
from remid_jax.evaluation.estimating import estimates
from remid_jax.evaluation.score_files import write_scores
from remid_jax.files import write_bytes, write_text
from remid_jax.information.estimates import Settings
from remid_jax.information.score_table import parse
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.models.peft_files import read_adapter
from remid_jax.parallel import Devices, is_first_host
from remid_jax.progress import Timed
from remid_jax.reporting import report, terminal
from remid_jax.roles import policy as work
from remid_jax.roles.members import Member, described, shown, trained, untrained
from remid_jax.roles.pairs import read_pairs
from remid_jax.roles.reading import Reading, Thinking, reading_of, template_settings, thinking_of
from remid_jax.roles.reasoner import reason
from remid_jax.scoring.engine import Pooling, ScoringEngine
from remid_jax.scoring.generation import Generator, Sample, record_key
from remid_jax.scoring.store import Store
from remid_jax.scoring.texts import Reply, ready, tokenizer_of
from remid_jax.settings import check_settings

from . import cli

Records = dict[str, list[Record]]


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    stages = Timed(cli.progress())
    benchmark = read_benchmark(config.benchmark.source)
    prompts = Prompts.load(config.prompts)
    settings = Settings(
        config.statistics.level, config.statistics.subsamples, bootstrap=config.statistics.bootstrap, seed=config.seed
    )
    settings.check()
    if str(config.estimator.reasoning).startswith("package:"):
        raise UserError(
            f"config.estimator.reasoning={config.estimator.reasoning}: was written with golden replies in view, so it would "
            "measure its author's knowledge of them: leave it empty or name a file"
        )
    program = {"version": remid_jax.__version__, "git_revision": git_revision()}  # as it is now: a run may outlast a commit
    cli.use_compilation_cache()
    devices = Devices(config.devices.parallel, config.devices.mesh_model)
    store = Store(config.store or workdir / "store.sqlite")
    reading, thinking = reading_of(config, workdir), thinking_of(config.policy.thinking)
    models = open_models(config, devices, reading, thinking)
    records, excluded = choose_records(config, benchmark, prompts, models)
    everyone = [record for members in records.values() for record in members]
    known = [record for members in benchmark.test.values() for record in members]
    given = Given.read(config, everyone, known)
    engines = Engines(config, devices, store)
    pairs = read_pairs(config.estimator.adapters, models["estimator"]) if config.estimator.adapters else None
    members = trained(models["estimator"], pairs, records) if pairs else untrained(models["estimator"], records)

    written = reasoning(config, everyone, prompts, members, engines, stages, given)
    replies, drawn = respond(config, everyone, prompts, models, engines, stages, given)
    arrays = score(config, records, prompts, models, members, written, replies, drawn, engines, stages)
    if not is_first_host():
        return

    with stages.stage("estimate", unit=""):
        write_scores(workdir / "scores.npz", arrays)
        estimated = estimates(parse(arrays), settings, Devices(config.devices.parallel, local=True))
        contributed = {name: results_of.contributions(arrays, name, estimated["estimators"]) for name in records}
        features = shown(written)
        categories = results_of.diagnostics(records, replies, features, excluded, arrays)
        found = {
            "schema_version": results_of.SCHEMA_VERSION,
            "kind": "evaluation",
            "program": program,
            "config": json.loads(config.to_json()),
            "fingerprints": {
                "benchmark": benchmark.fingerprint,
                "prompts": prompts.fingerprint,
                "estimator": models["estimator"].fingerprint,
                "encoder": models["encoder"].fingerprint,
                "policy": models["policy"].fingerprint if "policy" in models else None,
                "protocol": results_of.PROTOCOL,
            },
            "estimator": {
                "model": config.estimator.model,
                "dtype": config.estimator.dtype,
                "reasoning": config.estimator.reasoning or "generated",
                "adapters": described(config.estimator.adapters, pairs, members) if pairs else None,
            },
            "policy": {
                "model": config.policy.model if "policy" in models else None,
                "dtype": config.policy.dtype if "policy" in models else None,
                "adapter": config.policy.adapter if "policy" in models else None,
                "thinking": thinking,
                "replies": config.policy.replies or "generated",
            },
            "first_line": results_of.first_line(estimated),
            "reading": {
                "control_tokens": reading["control_tokens"],
                "date": reading["date"].isoformat(),
                "models": {role: described_reading(model) for role, model in models.items()},
            },
            "warnings": results_of.warnings(categories, in_sample=pairs is not None and pairs.protocol == "in_sample"),
            "categories": categories,
            "estimates": estimated,
            "records": contributed,
        }
        samples = results_of.samples(records, replies, features, contributed)
        write_bytes(workdir / "samples.parquet", results_of.parquet_bytes(samples))
        write_text(workdir / "results.json", json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    with stages.stage("report", unit=""):
        report.write(found, workdir, samples)
    engines.save_counts(workdir, stages)
    Console(width=max(100, Console().width) if not Console().is_terminal else None).print(terminal.summary(found))
    where = f"report: {workdir / 'report.html'}   data: {workdir / 'results.json'}"
    stages.say(where)


def open_models(config: ConfigDict, devices: Devices, reading: Reading, thinking: Thinking) -> dict[str, LanguageModel]:
    """The estimator, the encoder of contexts and, unless its replies are given, the policy; one model where they are the
    same."""
    mesh, native = devices.parameter_mesh, thinking == "native"
    templates = {role: template_settings(config[role].template, f"config.{role}.template") for role in ("estimator", "policy")}
    opened = open_model(config.estimator.model, config.estimator.dtype, mesh)
    models = {"estimator": read_as(opened, thinking=False, template=templates["estimator"], **reading)}
    if not config.policy.replies:
        alike = (config.policy.model, config.policy.dtype) == (config.estimator.model, config.estimator.dtype)
        base = models["estimator"] if alike else open_model(config.policy.model, config.policy.dtype, mesh)
        if not alike or native or templates["policy"] != templates["estimator"]:
            base = read_as(base, thinking=native, template=templates["policy"], **reading)
        models["policy"] = adapted(base, read_adapter(config.policy.adapter, base)) if config.policy.adapter else base
    for model in list(models.values()):
        if not tokenizer_of(model).has_chat_template:
            lack = tokenizer_of(model).chat.lack
            raise UserError(f"{model.source}: {lack}, which role-playing prompts need: use a chat model")
    c = config.embedding
    if c.pooling not in get_args(Pooling):
        raise UserError(f"config.embedding.pooling={c.pooling!r}: choose one of {', '.join(get_args(Pooling))}")
    models["encoder"] = (
        read_as(open_model(c.model, config.estimator.dtype, mesh), **reading) if c.model else models["estimator"]
    )
    tokenizer_of(models["encoder"])
    return models


def choose_records(
    config: ConfigDict, benchmark: Benchmark, prompts: Prompts, models: Mapping[str, LanguageModel]
) -> tuple[Records, dict[str, dict[str, int]]]:
    """The records to evaluate, by category, and those excluded because a prompt of theirs is too long."""
    estimator = tokenizer_of(models["estimator"])
    policy, tags = tokenizer_of(models.get("policy", models["estimator"])), thinking_of(config.policy.thinking) == "tags"
    chosen: Records = {}
    excluded: dict[str, dict[str, int]] = {}
    for category, members in benchmark.test.items():
        wanted = config.benchmark.records
        if 0 < wanted < len(members):
            members = sorted(members, key=lambda record: record_key(config.seed, "subset", record.id))[:wanted]
        excluded[category] = work.too_long(members, prompts, estimator, policy, config.max_prompt, tags)
        chosen[category] = [record for record in members if record.id not in excluded[category]]
        if len(chosen[category]) < 2:
            raise UserError(
                f"{config.benchmark.source}: category {category} has {len(chosen[category])} records of at most "
                f"config.max_prompt={config.max_prompt} tokens: it needs 2; raise config.max_prompt or shorten its records"
            )
    if not chosen:
        raise UserError(f"{config.benchmark.source}: holds no test record")
    return chosen, excluded


@dataclasses.dataclass(frozen=True)
class Given:
    """Ready reasoning and replies, by record; None: they are to be generated."""

    reasoning: dict[str, str] | None
    replies: dict[str, str] | None

    @classmethod
    def read(cls, config: ConfigDict, records: Sequence[Record], known: Sequence[Record]) -> Given:
        """Both files, before the first device step."""
        reasoning, replies = config.estimator.reasoning, config.policy.replies
        return cls(
            read_reasoning(reasoning, records, known) if reasoning else None,
            read_replies(replies, records, known) if replies else None,
        )


class Engines:
    """One scoring engine and one generator a model, over one store."""

    def __init__(self, config: ConfigDict, devices: Devices, store: Store):
        self._devices, self._store, self._config = devices, store, config.devices
        self._scoring: dict[tuple[str, str], ScoringEngine] = {}
        self._generators: dict[tuple[str, str], Generator] = {}

    def scoring(self, model: LanguageModel) -> ScoringEngine:
        c = self._config
        return self._scoring.setdefault(
            _who(model), ScoringEngine(model, self._devices, self._store, c.tokens_per_step, c.max_row)
        )

    def generator(self, model: LanguageModel) -> Generator:
        return self._generators.setdefault(
            _who(model), Generator(model, self._devices, self._store, self._config.sampling_rows)
        )

    def save_counts(self, workdir: Path, stages: Timed) -> None:
        """What this run did, which a repetition does not repeat: kept apart from the results."""

        def counts(engines: Iterable[ScoringEngine] | Iterable[Generator]) -> dict[str, Any]:
            return {engine.model.source: dataclasses.asdict(engine.counts) for engine in engines}

        scoring, sampling = self._scoring.values(), self._generators.values()
        done = {
            "seconds": stages.seconds,
            "scoring": counts(scoring),
            "sampling": counts(sampling),
            "loaded": {engine.model.source: engine.model.loaded for engine in scoring},
        }
        write_text(workdir / "run.json", json.dumps(done, indent=1) + "\n")


def _who(model: LanguageModel) -> tuple[str, str]:
    """What tells two models apart: their weights, and how they read texts."""
    return model.fingerprint, tokenizer_of(model).fingerprint


def described_reading(model: LanguageModel) -> dict[str, Any]:
    """How a model reads texts, for the results."""
    tokenizer = tokenizer_of(model)
    return {
        "tokenizer": tokenizer.fingerprint,
        "template": dict(tokenizer.reading.template),
        "writes_date": tokenizer.chat.writes_date,
        "folds_system": tokenizer.chat.folds_system,
    }


def reasoning(
    config: ConfigDict, records: Sequence[Record], prompts: Prompts, members: Sequence[Member], engines: Engines,
    stages: Timed, given: Given,
) -> dict[str, dict[str, Parsed]]:  # fmt: skip
    """{member of the estimator: {record that it may score: its reasoning}}."""
    c = config.estimator
    mine = {member.name: [records[number] for number in member.mine(records)] for member in members}
    if given.reasoning is not None:
        ready = {name: core_features(text, c.fallback) for name, text in given.reasoning.items()}
        return {name: {record.id: ready[record.id] for record in of_member} for name, of_member in mine.items()}
    with stages.stage("reason") as advance:
        return {
            member.name: reason(
                mine[member.name], prompts, engines.generator(member.reasoner), c.max_reasoning, c.fallback, advance
            )
            for member in members
        }


def respond(
    config: ConfigDict,
    records: Sequence[Record],
    prompts: Prompts,
    models: Mapping[str, LanguageModel],
    engines: Engines,
    stages: Timed,
    given: Given,
) -> tuple[dict[str, Reply], dict[str, list[Sample]] | None]:
    """Replies, and samples of the policy's own kernel: None where it is not at hand, or none are wanted."""
    c = config.policy
    if given.replies is not None:
        return {name: ready(tokenizer_of(models["estimator"]), text) for name, text in given.replies.items()}, None
    thinking = thinking_of(c.thinking)
    wanted = c.self_samples if thinking == "no" else 0  # what a thinking policy's kernel gives is no reply: protocol rule 12
    with stages.stage("respond") as advance:
        replies, samples = work.respond(
            records,
            prompts,
            engines.generator(models["policy"]),
            c.max_reply,
            c.repetition_penalty,
            wanted,
            config.seed,
            advance,
            thinking == "tags",
        )
    return replies, samples if wanted else None


def score(
    config: ConfigDict, records: Records, prompts: Prompts, models: Mapping[str, LanguageModel], members: Sequence[Member],
    written: Mapping[str, Mapping[str, Parsed]], replies: dict[str, Reply], drawn: dict[str, list[Sample]] | None,
    engines: Engines, stages: Timed,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The arrays of the score table (layout: remid_jax.information.score_table)."""
    tokenizer = tokenizer_of(models["estimator"])
    estimators = [asking.Estimator(prompts, tokenizer, member, written[member.name]) for member in members]
    policy = None if drawn is None else asking.Policy(prompts, tokenizer_of(models["policy"]), drawn)
    arrays, of_members, of_policy = asking.questions(records, replies, estimators, policy)
    if models.get("policy") is members[0].responder:  # one plan, so that common beginnings of prompts are encoded once
        of_members, of_policy = [of_members[0] + of_policy], []
    with stages.stage("score") as advance:
        asked = zip(members, of_members, strict=True)
        arrays |= asking.pooled([asking.ask(engines.scoring(of.responder), questions, advance) for of, questions in asked])
        if of_policy:
            arrays |= asking.ask(engines.scoring(models["policy"]), of_policy, advance)
    with stages.stage("embed") as advance:
        arrays |= contexts.embed(engines.scoring(models["encoder"]), records, config.embedding.pooling, advance)
    return arrays | contexts.identities(records)


def git_revision() -> str | None:
    """The commit of the working tree this runs from, if it is one."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
