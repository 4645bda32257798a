"""Any categories, shifts and references: what a table is called changes no number, and each category is compared with its own
reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_arrays import score_arrays, with_shifts

from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import flatten, parse
from remid_jax.information.score_table import by_name
from remid_jax.parallel import Devices

NAMES = ("IDTest", "german", "Gaming")
SHIFTS = {"german": "user", "Gaming": "character"}
FAST = Settings(bootstrap=0)


def renamed(value, names):
    """A nested result with other names of categories and shifts."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def designed(arrays, design):
    """The arrays with {category: (shift, reference)}."""
    said = {f"{name}/shift": np.array(shift) for name, (shift, _) in design.items()}
    return arrays | said | {f"{name}/reference": np.array(reference) for name, (_, reference) in design.items()}


@pytest.fixture(scope="module")
def arrays():
    return with_shifts(score_arrays(dict.fromkeys(NAMES, 6), samples=4))


@pytest.fixture(scope="module")
def of_rpgbench(arrays):
    return estimates(parse(arrays), FAST, Devices())


@settings(max_examples=3)
@given(st.lists(st.text("abcdeé 漢", min_size=3, max_size=8).map("x{}".format), min_size=5, max_size=5, unique=True))
def test_names_of_categories_and_shifts_change_no_number(arrays, of_rpgbench, words):
    names = dict(zip((*NAMES, "user", "character"), words, strict=True))
    categories = {name: names[name] for name in NAMES}
    moved = {
        f"{categories[head]}/{rest}": array
        for head, _, rest in (n.partition("/") for n in arrays)
        for array in [arrays[f"{head}/{rest}"]]
    }
    design = {categories[name]: (names[SHIFTS[name]], categories["IDTest"]) for name in SHIFTS}
    got = estimates(parse(designed(moved, {categories["IDTest"]: ("", "")} | design)), FAST, Devices())
    for part in ("categories", "shifts", "headline", "controls"):
        assert got[part] == renamed(of_rpgbench[part], names)
    bounds = got["bounds"]
    for part in ("correlation", "contexts"):
        assert bounds[part] == of_rpgbench["bounds"][part]
    for name in SHIFTS:
        assert bounds["categories"][categories[name]]["bounds"] == of_rpgbench["bounds"]["categories"][name]["bounds"]
    assert bounds["risk"]["plain"]["balls"] == of_rpgbench["bounds"]["risk"]["plain"]["balls"]


def test_each_category_is_compared_with_its_own_reference_and_a_shift_is_the_mean_of_its_categories():
    """Two references and a chain: brother -> sister -> home, far -> abroad; "lonely" is compared with none."""
    names = ("home", "sister", "brother", "abroad", "far", "lonely")
    design = {
        "home": ("", ""), "sister": ("kin", "home"), "brother": ("kin", "sister"), "abroad": ("", ""),
        "far": ("distance", "abroad"), "lonely": ("", ""),
    }  # fmt: skip
    table = parse(designed(score_arrays(dict.fromkeys(names, 5)), design))
    got = estimates(table, FAST, Devices())

    def emi(name, of="emi"):
        return got["categories"][name]["reasoned"][of]["club"]["token_rate"]["value"]

    def information(name, replies):
        """Ihat by `club` in nats a token, in plain loops."""
        loglik, tokens = (
            table.categories[name].replies[replies].loglik["reasoned"],
            table.categories[name].replies[replies].tokens,
        )
        n = len(tokens)
        others = np.mean([loglik[i, j] / tokens[j] for i in range(n) for j in range(n) if i != j])
        return np.mean([loglik[j, j] / tokens[j] for j in range(n)]) - others

    for name in names:
        assert emi(name) == pytest.approx(information(name, "policy") - information(name, "golden"), abs=1e-9)
    for name, (_, reference) in design.items():
        section = got["categories"][name]
        assert (section["shift"], section["reference"]) == tuple(part or None for part in design[name])
        if reference:
            assert emi(name, "emid") == pytest.approx(emi(reference) - emi(name), abs=1e-12)
            drop = information(reference, "golden") - information(name, "golden")
            assert emi(name, "estimator_shift") == pytest.approx(drop, abs=1e-9)
        else:
            assert "emid" not in section["reasoned"]
    assert {shift: row["categories"] for shift, row in got["shifts"].items()} == {
        "kin": ["sister", "brother"],
        "distance": ["far"],
    }
    kin = got["shifts"]["kin"]["reasoned"]["emid"]["club"]["token_rate"]["value"]
    assert kin == pytest.approx((emi("sister", "emid") + emi("brother", "emid")) / 2, abs=1e-12)
    assert list(got["bounds"]["other_risks"]) == ["sister", "abroad"]
    again = flatten(parse(flatten(table)))
    assert {name: str(again[name]) for name in again if name.endswith(("/shift", "/reference"))} == {
        f"{name}/{part}": text for name, pair in design.items() for part, text in zip(("shift", "reference"), pair, strict=True)
    }


def test_undeclared_tables_are_compared_as_rpgbench_says():
    design = by_name(list(RPGBENCH.categories))
    assert {name: tuple(of) for name, of in design.items()} == {
        name: (category.shift, category.reference) for name, category in RPGBENCH.categories.items()
    }


ALONE = "Gaming/reference is missing: there are blocks with one, of_id and in_id"
OF_NOWHERE = [
    *(f"german/of_id/golden/{scorer} has shape [6, 6], expected [6, 0]" for scorer in ("reasoned", "plain")),
    "german/of_id/self has shape [6, 6, 4], expected [6, 0, any]",
    *(f"german/in_id/golden/{scorer} has shape [6, 6], expected [0, 6]" for scorer in ("reasoned", "plain")),
    "german/in_id/self has shape [6, 6, 4], expected [0, 6, 4]",
]


@pytest.mark.parametrize(
    ("design", "faults"),
    [
        (
            {"german": ("user", "")},
            ["german/shift and german/reference go together: 'user', ''", ALONE.replace("Gaming", "german"), ALONE],
        ),
        (
            {"german": ("user", "nowhere")},
            ["german/reference is 'nowhere', no other category of the table", *OF_NOWHERE, ALONE],
        ),
        ({"german": ("user", "german")}, ["german/reference is 'german', no other category of the table", ALONE]),
        (
            {"german": ("user", "Gaming"), "Gaming": ("character", "german")},
            ["german/reference leads back to itself", "Gaming/reference leads back to itself"],
        ),
        (
            {"german": (["user"], "IDTest")},
            ["german/shift is no single text", "german/shift and german/reference go together: '', 'IDTest'", ALONE],
        ),
        ({"german": ("user", "IDTest")}, [ALONE]),
        ({"german": ("  ", "IDTest")}, ["german/shift and german/reference go together: '', 'IDTest'", ALONE]),
    ],
)
def test_a_design_that_contradicts_itself_is_refused(arrays, design, faults):
    with pytest.raises(UserError) as error:
        parse(designed(arrays, design))
    count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
    mend = "write it as remid_jax/information/score_arrays.py says"
    assert str(error.value) == f"score table: {count}: {'; '.join(faults)}: {mend}"
