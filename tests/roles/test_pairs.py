"""Pairs of adapters on disk: what is read is what was saved, who may score what, and faults by name."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CONFIG, tiny_model

from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.models.adapters import fresh, named
from remid_jax.models.config import LoRAConfig
from remid_jax.roles import pairs as module
from remid_jax.roles import shipped
from remid_jax.roles.pairs import Pair, read_pairs, save_pairs, scored_by

SEEN = {"a": frozenset({"l1", "l2", "both"}), "b": frozenset({"l3", "both"})}


def adapter(seed):
    made = fresh(CONFIG, LoRAConfig(2, 4.0, ("query", "down")), seed)
    rng = np.random.default_rng(seed)
    return dataclasses.replace(
        made, params=jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.1, a.shape), a.dtype), made.params)
    )


def pairs():
    return [Pair(name, adapter(2 * n), adapter(2 * n + 1), seen) for n, (name, seen) in enumerate(SEEN.items())]


def save(folder, protocol="cross_fitted", dtype="bfloat16", saved=None):
    save_pairs(folder, saved or pairs(), tiny_model(), {"protocol": protocol, "commit": "abc"}, dtype)


def record(name, lineage):
    return Record(name, "someone", {"name": "Ada"}, (Turn("user", "Well?"),), "Yes.", "IDTest", lineage)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_read_is_what_was_saved(tmp_path, dtype):
    save(tmp_path, dtype=dtype)
    found = read_pairs(tmp_path, tiny_model())
    assert [(pair.name, pair.seen) for pair in found.pairs] == list(SEEN.items())
    for pair, made in zip(found.pairs, pairs(), strict=True):
        for role in ("reasoner", "responder"):
            read, saved = named(getattr(pair, role).params), named(getattr(made, role).params)
            for name, leaf in saved.items():
                np.testing.assert_array_equal(read[name], leaf.astype(dtype).astype("float32"))
    assert found.protocol == "cross_fitted"
    assert found.fingerprint == read_pairs(str(tmp_path), tiny_model()).fingerprint
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["folds"] == {"both": [], "l1": ["b"], "l2": ["b"], "l3": ["a"]}
    assert manifest["pairs"][0]["seen"] == ["both", "l1", "l2"]
    assert manifest["pairs"][1]["fingerprints"]["responder"] == found.pairs[1].responder.fingerprint
    assert manifest["base"] == {"source": "tiny", "fingerprint": "tiny-0"}
    assert manifest["about"]["commit"] == "abc"


def test_the_fingerprint_is_over_everything(tmp_path):
    first, second = pairs()
    others = {
        "same": [first, second],
        "name": [dataclasses.replace(first, name="c"), second],
        "seen": [dataclasses.replace(first, seen=frozenset({"l1"})), second],
        "responder": [dataclasses.replace(first, responder=adapter(9)), second],
        "fewer": [first],
    }
    found = set()
    for name, of in others.items():
        save(tmp_path / name, saved=of)
        found.add(read_pairs(tmp_path / name, tiny_model()).fingerprint)
    save(tmp_path / "protocol", "in_sample")
    found.add(read_pairs(tmp_path / "protocol", tiny_model()).fingerprint)
    assert len(found) == 6


def test_a_package_folder_lies_in_this_room(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "remid_jax" / "roles" / "shipped.py"))
    save(tmp_path / "remid_jax" / "roles" / "small")
    assert len(read_pairs("package:small", tiny_model()).pairs) == 2
    with pytest.raises(UserError, match=r"roles/missing/manifest\.json: cannot be read"):
        read_pairs("package:missing", tiny_model())


def test_a_record_is_scored_only_by_pairs_that_have_not_seen_its_lineage(tmp_path):
    save(tmp_path)
    records = [record("one", "l1"), record("three", "l3"), record("new", "l9")]
    assert scored_by(read_pairs(tmp_path, tiny_model()), records) == {"a": {"three", "new"}, "b": {"one", "new"}}


def test_an_overlap_of_folds_is_an_error_that_names_the_records_unless_it_is_in_sample(tmp_path):
    save(tmp_path / "crossed")
    save(tmp_path / "sampled", "in_sample")
    records = [record("one", "l1"), record("planted", "both")]
    with pytest.raises(UserError, match=r"lineage of planted \(lineage both\): leave these records out"):
        scored_by(read_pairs(tmp_path / "crossed", tiny_model()), records)
    everyone = {"one", "planted"}
    assert scored_by(read_pairs(tmp_path / "sampled", tiny_model()), records) == {"a": everyone, "b": everyone}


def rewritten(**changes):
    def rewrite(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return rewrite


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json: cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"pairs": '), r"line 1, column \d+: broken JSON"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "is not a JSON object: save the pairs again"),
        (rewritten(schema_version=2), "schema_version 2, not 1: save the pairs with this version"),
        (rewritten(base={}), "base has no source and fingerprint"),
        (
            rewritten(base={"source": "M", "fingerprint": "f"}),
            r"adapters are of M \(f\), not of tiny \(tiny-0\): name that base",
        ),
        (rewritten(about={"protocol": "both"}), "about has no protocol, one of cross_fitted, in_sample"),
        (rewritten(pairs=[]), "holds no pairs"),
        (rewritten(pairs=[{"name": "a"}]), r"pairs\[0\] has no name and seen"),
        (lambda folder: shutil.rmtree(folder / "b" / "responder"), r"b/responder/adapter_config\.json: cannot be read"),
        (lambda folder: shutil.copytree(folder / "a", folder / "b", dirs_exist_ok=True), "/b: its adapters are not those of"),
    ],
)
def test_faults_are_named(tmp_path, spoil, said):
    save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        read_pairs(tmp_path, tiny_model())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "protocol", "said"),
    [
        (("a", "b"), "crossed", "protocol 'crossed': choose one of cross_fitted, in_sample"),
        (("a", "a"), "cross_fitted", "pairs named a, a: give each a name of its own"),
        (("../a", "b"), "cross_fitted", "pairs named ../a, b"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, names, protocol, said):
    with pytest.raises(UserError, match=said):
        save(tmp_path / "new", protocol, saved=[dataclasses.replace(p, name=n) for p, n in zip(pairs(), names, strict=True)])
    assert not (tmp_path / "new").exists()


def test_a_killed_save_leaves_no_manifest(tmp_path, monkeypatch):
    saved = []

    def stop_at_the_last(directory, *rest):
        saved.append(directory)
        if len(saved) == 4:
            raise KeyboardInterrupt
        return save_adapter(directory, *rest)

    save_adapter = module.save_adapter
    monkeypatch.setattr(module, "save_adapter", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path)
    with pytest.raises(UserError, match=r"manifest\.json: cannot be read"):
        read_pairs(tmp_path, tiny_model())


def test_a_pair_scores_no_record_with_a_cluster_that_it_has_seen():
    def crossed(user, character):
        return dataclasses.replace(record(f"{user}{character}", ""), clusters={"user": user, "character": character})

    made = Pair("a", adapter(0), adapter(1), crossed("u1", "c1").origins | crossed("u2", "c1").origins)
    other = Pair("b", adapter(2), adapter(3), crossed("u3", "c3").origins)
    estimator = module.Pairs((made, other), "cross_fitted", "base")
    asked = [crossed("u1", "c2"), crossed("u4", "c1"), crossed("u3", "c2"), crossed("u9", "c9"), crossed("c1", "u1")]
    found = scored_by(estimator, asked)
    assert found == {"a": {"u3c2", "u9c9", "c1u1"}, "b": {"u1c2", "u4c1", "u9c9", "c1u1"}}
    with pytest.raises(UserError, match=r"lineage of u1c3 \(lineage character c3, user u1\)"):
        scored_by(estimator, [crossed("u1", "c3")])
