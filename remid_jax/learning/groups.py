"""Records in groups that have nothing in common, so that what was trained on one may be judged on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remid_jax.dialogues.records import Record
from remid_jax.information.clusters import clusters_of, components


def unrelated_groups(records: Sequence[Record]) -> list[str]:
    """Returns the name of each record's group, where groups share no lineage and no cluster of any kind (docs/protocol.md,
    rule 19): its lineage, or the name of a cluster where records name several kinds."""
    if not records:
        return []
    lineages = {"": np.array([record.lineage for record in records])}
    clusters = {kind: np.array([record.clusters[kind] for record in records]) for kind in records[0].clusters}
    names, kinds = clusters_of(lineages, {"": clusters})
    group = dict(zip(names.tolist(), components(kinds).tolist(), strict=True))
    return [group[record.lineage] for record in records]
