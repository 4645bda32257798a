"""From what stands where a model is named to whoever answers."""

from __future__ import annotations

from pathlib import Path

from remid_jax.endpoints.descriptions import read_description
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Recorded
from remid_jax.endpoints.remote import Remote
from remid_jax.scoring.store import Store


def open_endpoint(source: str, path: str | Path | None, store: Store) -> Recorded:
    """Returns the endpoint that `source` names, "endpoint:NAME", in the file `path`; its replies are kept in `store`.

    Nothing is asked yet. For a model on this machine, see `remid_jax.endpoints.local.Local`.

    Raises:
      UserError: if it is not described, the environment lacks its key, or the library that asks it is not installed.
    """
    description = read_description(source, path)
    ledger = Ledger(description.price, description.cap, description.cap_tokens)
    return Recorded(source, Remote(source, description, ledger), store, ledger, description.concurrency)
