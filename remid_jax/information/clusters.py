"""Clusters of several kinds: users who each talk to several characters, who each talk to several users.

A record belongs to one cluster of each kind. The cells of a set of kinds are the groups of records that agree in all of them. A
variance that allows for every kind is the sum over non-empty sets S of (-1)^(|S| + 1) V_S, V_S that of clusters which are the
cells of S (Cameron, Gelbach and Miller's inclusion and exclusion, doi:10.1198/jbes.2010.07136).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

LINEAGE = "lineage"  # the one kind of clusters of records that name no others


class Cells(NamedTuple):
    """The cells of a set of kinds of clusters."""

    kinds: tuple[str, ...]  # one where the cells are clusters themselves
    weight: int  # of their variance in the sum
    members: np.ndarray  # int [G]: the cell of each lineage


def clusters_of(
    lineages: Mapping[str, np.ndarray], clusters: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the lineages [G], sorted, and {kind: cluster of each of them [G]}.

    `lineages` are {category: lineage of each record}, `clusters` {category: {kind: cluster of each record}}, of which a lineage
    has one of each kind; where no category names any, lineages are the only kind.
    """
    everyone, first = np.unique(np.concatenate(list(lineages.values())), return_index=True)
    kinds = sorted({kind for of_category in clusters.values() for kind in of_category})
    of_records = {kind: np.concatenate([clusters[name][kind] for name in lineages]) for kind in kinds}
    return everyone, {kind: names[first] for kind, names in of_records.items()} or {LINEAGE: everyone}


def cluster_faults(lineages: Mapping[str, np.ndarray], clusters: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Returns what keeps `clusters_of` from its work: categories with unlike kinds, lineages in several clusters of a kind."""
    first = next(iter(clusters))
    unlike = [
        f"{name}/cluster/ has the kinds {_listed(of)}, {first}/cluster/ {_listed(clusters[first])}"
        for name, of in clusters.items()
        if set(of) != set(clusters[first])
    ]
    if unlike:
        return unlike
    faults = []
    for kind in clusters[first]:
        of_lineage: dict[str, set[str]] = {}
        for name, of_category in lineages.items():
            for lineage, cluster in zip(of_category.tolist(), clusters[name][kind].tolist(), strict=True):
                of_lineage.setdefault(lineage, set()).add(cluster)
        torn = [lineage for lineage, names in of_lineage.items() if len(names) > 1]
        if torn:
            several = " and ".join(map(repr, sorted(of_lineage[torn[0]])[:2]))
            faults.append(f"lineage {torn[0]!r} lies in {several} of cluster/{kind}")
    return faults


def _listed(kinds: Mapping[str, np.ndarray]) -> str:
    return ", ".join(sorted(kinds)) or "none"


def all_cells(clusters: Mapping[str, np.ndarray]) -> list[Cells]:
    """Returns the cells whose variances the sum is made of, from {kind: cluster of each lineage [G]}.

    Sets with the same cells are taken together, so that kinds which are nested in others cancel exactly: of users and their
    dialogues, users alone are left.
    """
    found: dict[tuple[int, ...], Cells] = {}
    for size in range(1, len(clusters) + 1):
        for kinds in itertools.combinations(clusters, size):
            columns = np.stack([np.unique(clusters[kind], return_inverse=True)[1] for kind in kinds], axis=1)
            members = np.unique(columns, axis=0, return_inverse=True)[1].ravel()
            first = np.unique(members, return_index=True)[1]
            key = tuple(first[members].tolist())  # the same for the same cells, however they are numbered
            before = found.get(key, Cells(kinds, 0, members))
            found[key] = before._replace(weight=before.weight - (-1) ** size)
    return [cells for cells in found.values() if cells.weight]


def components(clusters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns [G] str: the group of each lineage, where groups share no cluster of any kind.

    A group has the name of its first cluster of the first kind, so lineages of one kind are named as that kind names them.
    """
    kept = [clusters[cells.kinds[0]] for cells in all_cells(clusters) if len(cells.kinds) == 1]
    codes = [np.unique(names, return_inverse=True)[1] for names in kept]
    count = len(kept[0])
    ends = count + np.cumsum([of.max() + 1 for of in codes])  # nodes are the lineages, then the clusters of each kind
    links = np.concatenate([of + end - of.max() - 1 for of, end in zip(codes, ends, strict=True)])
    rows = np.tile(np.arange(count), len(kept))
    graph = csr_array((np.ones(len(rows)), (rows, links)), (int(ends[-1]), int(ends[-1])))
    group = connected_components(graph, directed=False)[1][:count]
    names: dict[int, str] = {}
    for of, name in zip(group.tolist(), kept[0].tolist(), strict=True):
        names[of] = min(names.get(of, name), name)
    return np.array([names[of] for of in group.tolist()])
