"""What `benchmarks.lm_eval` runs in an environment of its own, where lm-eval is installed and this package is not.

    python -I lm_eval_worker.py tokenizer TEXTS.txt FOLDER            a SentencePiece tokenizer, as Llama 2's files hold it
    python -I lm_eval_worker.py score FOLDER PAIRS.jsonl OUT.jsonl    lm-eval's log-likelihoods, and the ids that it scores

-I: else this folder's lm_eval.py would stand before the package of that name.
"""

import json
import sys
from pathlib import Path


def train_tokenizer(texts: str, folder: str) -> None:
    import sentencepiece
    import transformers

    sentencepiece.SentencePieceTrainer.train(
        input=texts, model_prefix=f"{folder}/tokenizer", model_type="bpe", vocab_size=4000, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        split_digits=True, num_threads=1, minloglevel=2,
    )  # fmt: skip
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True}
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (Path(folder) / "tokenizer_config.json").write_text(json.dumps(settings | names))
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    for left in ("tokenizer.model", "tokenizer.vocab"):  # tokenizer.json says it all, and needs no sentencepiece
        (Path(folder) / left).unlink()


def score(model: str, source: str, target: str) -> None:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(2)
    lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=1)
    pairs = [json.loads(line) for line in Path(source).read_text(encoding="utf-8").splitlines()]
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=(pair["prompt"], pair["answers"][0]), idx=n)
        for n, pair in enumerate(pairs)
    ]
    scores = lm.loglikelihood(asked, disable_tqdm=True)
    with open(target, "w", encoding="utf-8") as file:
        for pair, (loglik, _) in zip(pairs, scores, strict=True):
            prompt, answer = lm._encode_pair(pair["prompt"], pair["answers"][0])
            whole = lm.tok_encode(pair["prompt"] + pair["answers"][0])
            line = {"loglik": loglik, "prompt": prompt, "answer": answer, "merged": whole[: len(prompt)] != prompt}
            file.write(json.dumps({"id": pair["id"]} | line) + "\n")


if __name__ == "__main__":
    {"tokenizer": train_tokenizer, "score": score}[sys.argv[1]](*sys.argv[2:])
