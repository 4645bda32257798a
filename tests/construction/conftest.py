"""What tests of whole builds begin from: one without faults, and no data card."""

import pytest
from building import built, canned

from remid_jax.construction import pipeline


@pytest.fixture(autouse=True, scope="module")
def _no_data_card():
    """Its figures take half a second each time; it has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_card", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, _no_data_card):
    """(folder, what was built) of a run without faults: two records in each of twelve categories. Nobody writes there."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, built(canned()[1], folder)
