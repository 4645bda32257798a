"""What a judge says of replies, and what agrees with it: see configs/judge.py.

Writes judge.json and judged.jsonl, which `experiments.agreement` reads, to the workdir, and with --config.page a page.
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.disk import check_output
from remid_jax.evaluation.judges import judge_config
from remid_jax.evaluation.judging import RESULTS
from remid_jax.files import write_text
from remid_jax.parallel import is_first_host
from remid_jax.reporting import judge_page
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.store import Store

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    if config.page:
        check_output(config.page, "config.page")
    cli.use_compilation_cache()
    progress, store = cli.progress(), Store(config.store or workdir / "store.sqlite")
    found = judge_config(config, store, reading_of(config, workdir), progress)
    if not is_first_host():
        return
    found.save(workdir)
    if config.page:
        write_text(config.page, judge_page.page(found.results, config.input or ", ".join(config.runs)))
    print("\n".join(judge_page.sentences(found.results)))
    progress.say(f"data: {workdir / RESULTS}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
