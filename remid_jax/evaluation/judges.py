"""From a config to what a judge says: who judges, and which replies."""

from __future__ import annotations

from ml_collections import ConfigDict

from remid_jax.dialogues.judge_prompts import JudgePrompts
from remid_jax.dialogues.rated import read_rated
from remid_jax.endpoints.descriptions import is_endpoint
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.errors import UserError
from remid_jax.evaluation.judging import Judgement, judge
from remid_jax.evaluation.replies_of_runs import Metrics, replies_of_runs
from remid_jax.progress import Reports
from remid_jax.roles.asked_judge import AskedJudge
from remid_jax.roles.opening import open_engine
from remid_jax.roles.ratings import Judge, LocalJudge
from remid_jax.roles.reading import Reading
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings


def judge_config(config: ConfigDict, store: Store, reading: Reading, progress: Reports) -> Judgement:
    """Judges what a config with the settings of configs/judge.py names; answers of a judge are kept in `store`.

    Raises:
      UserError: for whatever its caller can mend, in one line.
    """
    check_settings(config)
    if bool(config.runs) == bool(config.input):
        raise UserError("give either evaluations, --config.runs=\"('runs/a',)\", or replies, --config.input=FILE.jsonl")
    prompts, metrics = JudgePrompts.load(config.prompts), Metrics()
    if config.input:
        replies = read_rated(config.input, scored=False)
    else:
        replies, metrics = replies_of_runs(config.runs, config.controls)
    by = open_judge(config, store, reading, prompts)
    found = judge(replies, metrics, by, config.pairwise, config.level, config.seed, progress)
    if isinstance(by, AskedJudge):
        progress.say(f"{by.endpoint.name}: {by.endpoint.ledger.sentence()}")
    return found


def open_judge(config: ConfigDict, store: Store, reading: Reading, prompts: JudgePrompts) -> Judge:
    """Returns the judge that `config.model` names: an endpoint, or a model on this machine.

    Raises:
      UserError: if it cannot be opened.
    """
    if is_endpoint(config.model):
        return AskedJudge(open_endpoint(config.model, config.endpoints, store), prompts, config.max_new)
    return LocalJudge(open_engine(config, config, store, reading), prompts)
