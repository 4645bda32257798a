"""What `benchmarks.serve` runs in an environment of its own, where lm-eval is installed and this package is not.

python -I serve_worker.py BASE_URL FOLDER    lm-eval's log-likelihoods of FOLDER/pairs.json, to FOLDER/scored.json
"""

import json
import sys
from pathlib import Path


def main(base_url: str, folder: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    lm = LocalCompletionsAPI(
        base_url=f"{base_url}/completions", model="served", tokenizer=str(folder / "tokenizer"),
        tokenizer_backend="huggingface", num_concurrent=8, batch_size=2,
    )  # fmt: skip
    pairs = json.loads((folder / "pairs.json").read_text())
    asked = [Instance(request_type="loglikelihood", doc={}, arguments=tuple(pair), idx=n) for n, pair in enumerate(pairs)]
    rows = []
    for pair, (loglik, greedy) in zip(pairs, lm.loglikelihood(asked, disable_tqdm=True), strict=True):
        prompt, answer = lm._encode_pair(*pair)
        rows.append({"prompt": prompt, "answer": answer, "loglik": loglik, "greedy": bool(greedy)})
    (folder / "scored.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
