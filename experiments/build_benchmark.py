"""Makes a benchmark out of a model that answers: see configs/build_benchmark.py and docs/construction.md."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.construction.builds import build_config
from remid_jax.construction.pipeline import RESULTS, Built
from remid_jax.construction.plan import TRAIN
from remid_jax.scoring.store import Store

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    cli.use_compilation_cache()
    progress, store = cli.progress(), Store(config.store or workdir / "store.sqlite")
    built = build_config(config, workdir, store, progress)
    print("\n".join(sentences(built)))
    progress.say(f"data: {workdir / RESULTS}")


def sentences(built: Built) -> list[str]:
    """Returns what came of it, in words."""
    counts, account = built.results["counts"], built.results["account"]
    kept, rejected, failed = len(built.screening.kept), len(built.screening.rejects), built.results["failures"]
    lines = [f"records kept: {kept}; rejected by gates: {rejected}; questions without a fitting answer: {failed}"]
    lines += [
        f"{name}: {count['kept']} of {count['wanted']} records ({count['made']} made)"
        for name, count in counts["categories"].items()
        if count["kept"] < count["wanted"]
    ]
    single = [name for name, count in counts["categories"].items() if count["kept"] == 1 and name != TRAIN]
    if single:
        listed = ", ".join(single)
        lines.append(f"one record, where an evaluation needs two: {listed}: name the others in --config.benchmark.categories")
    lines += [f"not asked any more: {why}" for why in built.results["stopped"].values()]
    lines += [
        f"{name}: {ledger['replies']} answers, {ledger['from_store']} of them from earlier runs, "
        f"{ledger['prompt_tokens']} + {ledger['completion_tokens']} tokens"
        + ("" if ledger["cost"] is None else f", cost {ledger['cost']:.4g}")
        for name, ledger in account.items()
    ]
    return lines


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
