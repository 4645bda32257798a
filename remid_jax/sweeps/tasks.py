"""What points can do, by name.

    evaluate        an evaluation; its replies are replies.jsonl, for config.policy.replies of others
    compare         evaluations against one of them: comparison.json and compare.html
    judge           ratings of the replies of evaluations: judge.json and judged.jsonl
    agreement       how R-EMI and the like agree with ratings of several `judge` points: agreement.json
    build_benchmark a benchmark out of a model that answers: PDGBench.json and the rest of a build
    join_benchmarks one benchmark of several that were built apart, in the same files
    claims          whether evaluations bear out claims about which loses more, and where: claims.json
    degrade         golden replies made worse by a known amount, replies.jsonl
    train           a policy; its adapter is adapter/
    corl            an estimator; its pairs are estimator/
    world_base      the model and the prompts of the world where the truth is known: model/ and prompts/
    world_records   records of that world, records.jsonl, and how its teacher reasons, teacher.jsonl
    world           how far an estimator trained there is from the truth

All but `compare`, `agreement`, `join_benchmarks`, `claims`, `degrade` and `world_records` take the settings of their scripts or
of the functions below.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from remid_jax.construction.builds import build_config
from remid_jax.construction.joining import join
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl
from remid_jax.errors import UserError
from remid_jax.evaluation import comparison
from remid_jax.evaluation.arguments import Given
from remid_jax.evaluation.doses import in_another_language
from remid_jax.evaluation.evaluate import evaluate_config
from remid_jax.evaluation.joint_agreement import joint_agreement
from remid_jax.evaluation.judges import judge_config
from remid_jax.evaluation.measured_alike import measure_alike
from remid_jax.evaluation.records import read_records
from remid_jax.evaluation.results import PROTOCOL
from remid_jax.files import write_rows, write_text
from remid_jax.information.contrasts import Contrast, Side, answered, contrasts, reasoning_gain
from remid_jax.information.differences import of_run
from remid_jax.learning import policy_training
from remid_jax.learning.estimator_training import train_estimator
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.parallel import Devices
from remid_jax.reporting.training import write_training_report
from remid_jax.roles import degraded
from remid_jax.roles.pairs import read_pairs
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.kernel import KERNEL_VERSION
from remid_jax.scoring.store import Store
from remid_jax.sweeps import inputs, summaries, work
from remid_jax.sweeps.plan import Surroundings, Task
from remid_jax.synthetic import reasoned_world, world_models

VERSIONS = {"protocol": PROTOCOL, "kernel": KERNEL_VERSION}


def evaluate(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Evaluates a policy or ready replies; returns `summaries.evaluation`."""
    settings, progress = ConfigDict(config), surroundings.progress
    models = Given(models=surroundings.models.of_evaluation(settings))
    found = evaluate_config(settings, surroundings.store(config["store"]), reading_of(settings, folder), progress, models)
    surroundings.count(work.of_evaluation(found.run))
    found.save(folder, progress)
    write_texts(folder / "replies.jsonl", {row["record"]: row["reply"] for row in found.samples}, "reply")
    return summaries.evaluation(found.results)


def compare(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Compares evaluations; returns `summaries.comparison`. The config names the `baseline` among `runs`, {name: folder}."""
    baseline, runs = config["baseline"], config["runs"]
    found = comparison.compare({baseline: runs[baseline]} | runs)
    found.save(folder / "comparison.json")
    found.report(folder / "compare.html")
    return summaries.comparison(found.results)


def judge(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Judges replies of evaluations; returns `summaries.judgement`. The config has `runs` as {name: folder}."""
    surroundings.models.let_go()
    settings = ConfigDict(config | {"runs": tuple(config["runs"].values())})
    found = judge_config(settings, surroundings.store(config["store"]), reading_of(settings, folder), surroundings.progress)
    found.save(folder)
    return summaries.judgement(found.results)


def agreement(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Returns what `joint_agreement` does; the config has its arguments, `runs` and `judged` as {name: folder}."""
    runs, judged = list(config["runs"].values()), list(config["judged"].values())
    found = joint_agreement(runs, config["controls"], judged, config["level"], config["seed"])
    write_text(folder / "agreement.json", json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return found


def build_benchmark(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Makes a benchmark, or a slice of one; returns its counts and its fingerprint."""
    surroundings.models.let_go()
    built = build_config(ConfigDict(config), folder, surroundings.store(config["store"]), surroundings.progress)
    return summaries.construction(built.results)


def join_benchmarks(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Joins the `slices` of a benchmark, {name: folder}; returns its counts and its fingerprint."""
    return summaries.construction(join(config["slices"], folder, surroundings.progress).results)


def claims(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Returns {claim: {quantity: its number and answer}}, of `remid_jax.information.contrasts`, and writes it to claims.json.

    The config has `runs`, {name: folder}, and `claims`, {claim: [[runs, shift or None] that loses more, the same that loses
    less]}. Besides them stands what reasoning gains, "reasoning", in nats a token of golden replies.
    """
    alike = measure_alike(config["runs"], Devices(local=True))
    level, runs = alike.settings.level, {run.name: of_run(alike.quantities, n) for n, run in enumerate(alike.read)}
    wanted = {
        claim: Contrast(*(Side(tuple(runs), shift) for runs, shift in sides)) for claim, sides in config["claims"].items()
    }
    found: dict[str, dict[str, Any]] = {}
    for quantity, of_claims in contrasts(runs, wanted, alike.headline, alike.plan.n, level).items():
        for claim, of_claim in of_claims.items():
            found.setdefault(claim, {})[quantity] = of_claim
    with jax.enable_x64(True):
        gain = reasoning_gain(alike.table, alike.plan)
    if gain is not None:
        made = answered({"": gain}, unit="per_token", estimator="mean", n=alike.plan.n, level=level)
        found["reasoning"] = {"gain": made[""]}
    write_text(folder / "claims.json", json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return dict(found)


def degrade(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Writes what the records of `benchmark` say on a `rung` of `remid_jax.roles.degraded`, with the `seed`.

    Raises:
      UserError: if there is no such rung, or a category cannot have it.
    """
    rungs = {rung.name: rung for rung in degraded.RUNGS}
    if config["rung"] not in rungs:
        raise UserError(f"rung {config['rung']!r}: choose one of {', '.join(rungs)}")
    benchmark, replies = read_records(ConfigDict(config), None), dict[str, str]()
    for category, records in benchmark.test.items():
        elsewhere = in_another_language(benchmark, category)
        replies |= degraded.rung_replies(records, rungs[config["rung"]], elsewhere, config["seed"])
    write_texts(folder / "replies.jsonl", replies, "reply")
    return {"replies": len(replies)}


def train(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Trains a policy; returns `summaries.training`."""
    surroundings.models.let_go()
    with surroundings.saving() as stopping:
        policy_training.train(ConfigDict(config), folder, surroundings.progress, stopping)
    write_training_report(folder, {"model": config["model"], "method": config["method"], "config": config})
    return summaries.training(folder)


def corl(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Trains an estimator; returns `summaries.estimator`."""
    surroundings.models.let_go()
    with surroundings.saving() as stopping:
        trained = train_estimator(ConfigDict(config), folder, surroundings.progress, stopping)
    for pair in trained.pairs:
        about = {"model": config["model"], "method": f"CoRL, {pair.name}", "config": config}
        write_training_report(folder / pair.name, about)
    benchmark = read_benchmark(config["benchmark"]["source"], manifest=config["benchmark"]["manifest"])
    return summaries.estimator(folder, config, benchmark)


def world_base(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Writes the world's base model; the config holds the settings of `world_models.write_base`."""
    shutil.copytree(world_models.PROMPTS, folder / "prompts", dirs_exist_ok=True)
    world_models.write_base(folder / "model", Prompts.load(folder / "prompts"), **config)
    return {}


def world_records(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Draws `records` records of the world with the `seed`."""
    records, reasoning = reasoned_world.drawn(config["records"], config["seed"])
    write_jsonl(folder / "records.jsonl", records)
    write_texts(folder / "teacher.jsonl", reasoning, "reasoning")
    return {}


def world(config: dict[str, Any], folder: Path, surroundings: Surroundings) -> dict[str, object]:
    """Returns how far an estimator is from the truth, over every context of the world: `reasoned_world.compared`.

    The config names the `model` (in `dtype`), the `prompts` and the `estimator`, and says whether that `reasons`: one that does
    also gets "features_named", the probability that its greedy reasoning names the true feature.
    """
    base, prompts, store = open_model(config["model"], config["dtype"]), Prompts.load(config["prompts"]), Store(":memory:")
    [pair] = read_pairs(config["estimator"], base).pairs
    features = world_models.reasoned(adapted(base, pair.reasoner), prompts, store) if config["reasons"] else None
    logs = world_models.log_likelihoods(adapted(base, pair.responder), prompts, features, store)
    named = {} if features is None else {"features_named": world_models.named(features)}
    return named | reasoned_world.compared(logs)


def write_texts(path: Path, values: Mapping[str, str], name: str) -> None:
    """Writes {record: text} as JSON Lines of {"sample_ID", `name`}."""
    write_rows(path, ({"sample_ID": record, name: text} for record, text in values.items()))


TASKS = {
    "evaluate": Task(
        evaluate,
        {
            "benchmark.source": (inputs.benchmark,),
            "benchmark.manifest": (inputs.text,),
            "benchmark.mapping": (inputs.text,),
            "benchmark.character": (inputs.text,),
            "benchmark.dials": (inputs.dials,),
            "prompts": (inputs.prompts,),
            "estimator.model": (inputs.model,),
            "estimator.adapters": (inputs.pairs, "estimator.model"),
            "estimator.reasoning": (inputs.reasoning,),
            "policy.model": (inputs.model, "endpoints"),
            "policy.adapter": (inputs.adapter, "policy.model"),
            "policy.replies": (inputs.text,),
            "embedding.model": (inputs.model,),
        },
        repeatable=True,  # its store goes by fingerprints
    ),
    "compare": Task(compare, repeatable=True),
    "judge": Task(
        judge,
        {"prompts": (inputs.judge_prompts,), "input": (inputs.text,), "model": (inputs.model, "endpoints")},
        repeatable=True,  # as an evaluation
    ),
    "agreement": Task(agreement, repeatable=True),
    "build_benchmark": Task(
        build_benchmark,
        {
            "prompts": (inputs.construction_prompts,),
            "personas": (inputs.personas,),
            "characters": (inputs.text,),
            "sources": (inputs.folder,),
            "scoring.prompts": (inputs.prompts,),
            "scoring.model": (inputs.model,),
            "search": (inputs.model, "endpoints"),
            "model": (inputs.model, "endpoints"),
        },
        repeatable=True,  # its answers are kept by request
    ),
    "join_benchmarks": Task(join_benchmarks, repeatable=True),
    "claims": Task(claims, repeatable=True),
    "degrade": Task(degrade, {"benchmark.source": (inputs.benchmark,), "benchmark.manifest": (inputs.text,)}),
    "train": Task(
        train,
        {
            "benchmark.source": (inputs.training_records, "benchmark.manifest"),
            "benchmark.manifest": (inputs.text,),
            "prompts": (inputs.prompts,),
            "reasoning": (inputs.reasoning,),
            "model": (inputs.model,),
            "adapter": (inputs.adapter, "model"),
            "estimator.model": (inputs.model,),
            "estimator.adapter": (inputs.adapter, "estimator.model", "model"),
        },
    ),
    "corl": Task(
        corl,
        {
            "benchmark.source": (inputs.benchmark,),
            "benchmark.manifest": (inputs.text,),
            "prompts": (inputs.prompts,),
            "teacher.reasoning": (inputs.reasoning,),
            "model": (inputs.model,),
            "teacher.model": (inputs.model, "endpoints"),
        },
    ),
    "world_base": Task(world_base),
    "world_records": Task(world_records),
    "world": Task(world),
}
