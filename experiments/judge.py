"""What a judge says of replies, and what agrees with it: see configs/judge.py.

Writes judge.json and judged.jsonl, which `experiments.agreement` reads, to the workdir, and with --config.page a page.
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.dialogues.judge_prompts import JudgePrompts
from remid_jax.dialogues.rated import read_rated
from remid_jax.disk import check_output
from remid_jax.endpoints.descriptions import is_endpoint
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.errors import UserError
from remid_jax.evaluation.judging import RESULTS, judge
from remid_jax.evaluation.replies_of_runs import Metrics, replies_of_runs
from remid_jax.files import write_text
from remid_jax.parallel import Devices, is_first_host
from remid_jax.reporting import judge_page
from remid_jax.roles.asked_judge import AskedJudge
from remid_jax.roles.ratings import Judge, LocalJudge
from remid_jax.roles.reading import reading_of, template_settings
from remid_jax.scoring.score import scoring_engine
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if bool(config.runs) == bool(config.input):
        raise UserError("give either evaluations, --config.runs=\"('runs/a',)\", or replies, --config.input=FILE.jsonl")
    if config.page:
        check_output(config.page, "config.page")
    prompts, metrics = JudgePrompts.load(config.prompts), Metrics()
    if config.input:
        replies = read_rated(config.input, scored=False)
    else:
        replies, metrics = replies_of_runs(config.runs, config.controls)
    cli.use_compilation_cache()
    progress = cli.progress()
    by = _judge(config, workdir, prompts)
    found = judge(replies, metrics, by, config.pairwise, config.level, config.seed, progress)
    if not is_first_host():
        return
    found.save(workdir)
    if config.page:
        write_text(config.page, judge_page.page(found.results, config.input or ", ".join(config.runs)))
    print("\n".join(judge_page.sentences(found.results)))
    progress.say(f"data: {workdir / RESULTS}")


def _judge(config: ConfigDict, workdir: Path, prompts: JudgePrompts) -> Judge:
    """The judge that `config.model` names: an endpoint, or a model on this machine."""
    store = Store(workdir / "store.sqlite")
    if is_endpoint(config.model):
        return AskedJudge(open_endpoint(config.model, config.endpoints, store), prompts, config.max_new)
    engine = scoring_engine(
        config.model,
        dtype=config.dtype,
        template=template_settings(config.template, "config.template"),
        store=store,
        tokens_per_step=config.tokens_per_step,
        max_row=config.max_row,
        devices=Devices(config.parallel, config.mesh_model),
        **reading_of(config, workdir),
    )
    return LocalJudge(engine, prompts)


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
