"""The journal of a resumed run keeps the rows that its checkpoint remembers, whatever characters they hold."""

import json

import pytest

from remid_jax.learning.journal import ROLLOUTS, Journal


@pytest.mark.parametrize("cut", [b"", b'{"step": 2, "te', '{"step": 2, "text": "\u5b57'.encode()[:-1]])
def test_reopened_it_keeps_earlier_rows_to_the_bit(tmp_path, cut):
    journal = Journal(tmp_path, 0)
    for step in range(3):
        journal.rollouts(step, [{"text": f"a\u2028b\u2029c\x85d\x0ce\n{step}"}])
    journal.close()
    path = tmp_path / ROLLOUTS
    before = path.read_bytes()
    path.write_bytes(before + cut)
    Journal(tmp_path, 2).close()
    rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert rows == [{"step": step, "text": f"a\u2028b\u2029c\x85d\x0ce\n{step}"} for step in (0, 1)]
    assert before.startswith(path.read_bytes())
