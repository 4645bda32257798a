"""What tests of the construction share: small amounts, canned endpoints, an endpoint over HTTP, and what a build left."""

import json
from pathlib import Path

import writer

from remid_jax.construction import pipeline
from remid_jax.construction.gates import default_gates
from remid_jax.construction.pipeline import Asked, build
from remid_jax.construction.plan import Amounts
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.endpoints.canned import Canned
from remid_jax.endpoints.chat import Sampling
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.endpoints.recorded import Recorded
from remid_jax.progress import Silent
from remid_jax.scoring.store import Store

PERSONAS = ["A cook who reads.", "A nurse who watches films.", "A stagehand who plays."]
SMALL = Amounts((), lineages=2, train_lineages=0, dialogues=1)
REQUESTS = {
    "propose": 5, "look up": 10, "classify": 10, "infer users": 20, "expand users": 20, "openings": 20, "dialogues": 22,
    "merge": 2, "edit": 2,
}  # fmt: skip
"""How many answers the 24 records of SMALL take."""


def asked(model, lookup=None, **changes):
    settings = {
        "retriever": None, "prompts": ConstructionPrompts.load(), "personas": PERSONAS, "characters": [], "tries": 3,
        "go_on": False, "sampling": Sampling(2048, temperature=1.0),
    }  # fmt: skip
    return Asked(model, lookup or model, **(settings | changes))


def canned(answer=writer.answer, store=None, ledger=None):
    """(backend, endpoint) that answers by a function of the last message."""
    backend = Canned(lambda chat, draw: answer(chat.messages[-1]["content"]))
    return backend, Recorded("endpoint:canned", backend, store or Store(":memory:"), ledger or Ledger(), 4)


def remote(base_url, folder, **settings):
    """The endpoint at an address, with its store in a folder."""
    path = folder / "endpoints.json"
    path.write_text(json.dumps({"it": {"base_url": base_url, "model": "m-1", "timeout": 5, "retries": 4} | settings}))
    return open_endpoint("endpoint:it", path, Store(folder / "store.sqlite"))


def built(model, folder, amounts=SMALL, **changes):
    return build(asked(model, **changes), amounts, default_gates, folder, Silent())


def build_at(base_url, folder):
    """What a process does that may be killed; it makes no data card."""
    pipeline.write_card = lambda *_: None
    built(remote(base_url, Path(folder)), Path(folder))


def files(folder):
    """{name: content} of what a build left, but for the account and the store."""
    names = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name != "endpoints.json"]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in names
        if "store" not in path.name and path.name != "build.json"
    }


def results(folder):
    return json.loads((Path(folder) / "build.json").read_text())
