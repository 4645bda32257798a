"""The one line with which something is refused."""

import pytest

from remid_jax.errors import UserError


def refusal(function, *args, **kwargs) -> str:
    """Returns the message of the UserError that the call must raise: one line."""
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text
