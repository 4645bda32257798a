"""Which quantities agree with scores of replies: see configs/agreement.py.

Writes agreement.json and replies.parquet to the workdir and, with --config.page, a page with its figure.
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.rated import read_rated
from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.evaluation.agreement import RESULTS, measured
from remid_jax.files import write_bytes, write_text
from remid_jax.parallel import is_first_host
from remid_jax.reporting import agreement_figures, agreement_page, drawing
from remid_jax.roles.opening import open_engine
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if not config.input:
        raise UserError("config.input is not set: give replies with their scores, --config.input=FILE.jsonl")
    if config.page:
        check_output(config.page, "config.page")
    cli.use_compilation_cache()
    progress = cli.progress()
    rated = read_rated(config.input)
    engine = open_engine(config, config, Store(workdir / "store.sqlite"), reading_of(config, workdir))
    found = measured(rated, engine, Prompts.load(config.prompts), config.others, config.level, config.seed, progress)
    if not is_first_host():
        return
    found.save(workdir)
    if config.page:
        figure = Path(config.page).with_suffix(".png")
        write_bytes(figure, drawing.png_bytes(agreement_figures.agreement(found.results)))
        write_text(config.page, agreement_page.page(found.results, config.input, figure.name))
    print(found)
    progress.say(f"data: {workdir / RESULTS}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
