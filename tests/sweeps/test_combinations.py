"""Combinations of settings are those of nested loops; columns of unlike length are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.sweeps.combinations import product, zipped

VALUES = st.lists(st.integers(), max_size=4)


@given(VALUES, VALUES)
def test_a_product_is_the_nested_loops(rows, columns):
    assert product(row=rows, column=columns) == [{"row": row, "column": column} for row in rows for column in columns]


@given(st.lists(st.tuples(st.integers(), st.text(max_size=3))))
def test_zipped_values_stay_side_by_side(pairs):
    assert zipped(a=[a for a, _ in pairs], b=(b for _, b in pairs)) == [{"a": a, "b": b} for a, b in pairs]


def test_some_names_may_change_together_within_a_product():
    found = product(model=zipped(source=("s", "l"), rows=(32, 8)), seed=(0, 1))
    assert found[1] == {"model": {"source": "s", "rows": 32}, "seed": 1}
    assert len(found) == 4


def test_columns_of_unlike_length_are_refused():
    with pytest.raises(UserError) as refusal:
        zipped(a=(1, 2), b=(1,))
    assert str(refusal.value) == "zipped: a has 2, b has 1 values: give each name equally many"
