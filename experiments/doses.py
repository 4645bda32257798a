"""Whether the numbers mean something: golden replies made worse by known amounts, and a shift whose loss is known.

See configs/doses.py. Writes doses.json to the workdir and, with --config.page, a page with its figure.
"""

from __future__ import annotations

import json
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.disk import check_output
from remid_jax.errors import UserError
from remid_jax.evaluation.doses import doses
from remid_jax.files import write_bytes, write_text
from remid_jax.reporting import dose_figures, dose_page, drawing
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings
from remid_jax.validation import planted_study

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if config.page:
        check_output(config.page, "config.page")
    cli.use_compilation_cache()
    progress, store = cli.progress(), Store(config.store or workdir / "store.sqlite")
    found, table = doses(config, store, reading_of(config, workdir), progress)
    found["planted"] = []
    try:
        with progress.stage("planted", "draws") as advance:
            found["planted"] = planted_study.study(
                table, planted_study.SHARES, config.draws, config.statistics.level, config.seed, advance
            )
    except UserError as reason:  # of these records; all else is known of them
        found["left_out"]["planted shift"] = str(reason)
    write_text(workdir / "doses.json", json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if config.page:
        figure = Path(config.page).with_suffix(".png")
        write_bytes(figure, drawing.png_bytes(dose_figures.rungs(found)))
        write_text(config.page, dose_page.page(found, figure.name))
    progress.say(f"data: {workdir / 'doses.json'}")


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
