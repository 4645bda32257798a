"""Where each id of a reply comes from, against a plain decoding of every beginning of it."""

import numpy as np
import pytest
from small_vocabulary import small_tokenizer

from remid_jax.dialogues import copying
from remid_jax.dialogues.records import Record, Turn
from remid_jax.scoring.texts import Reply, scored_answer, token_sources

TOKENIZER = small_tokenizer()[0]
SAID = "Do you still keep the seven grey horses of the old mill, my friend? 你还记得那家小茶馆的老板娘吗?"
RECORD = Record("1", "She breeds horses.", {"name": "Bo"}, (Turn("user", SAID),), "No.", "IDTest")
REPLIES = (
    "I keep the seven grey horses of the old mill.",
    "  Yes:\n\nyou still keep the seven grey horses, 🙂 I hear!",
    "我还记得那家小茶馆的老板娘, and you?",
    "Never, ever again 👩‍👩‍👧.",
    "",
)


def by_beginnings(ids, record):
    """An id is where its first visible character is, or where the character is that it is part of."""
    written = [of for of in ids if of != TOKENIZER.end_of_turn_id]
    texts = [TOKENIZER.decode(written[:count]) for count in range(len(written) + 1)]
    whole, sources = texts[-1], np.full(len(ids), copying.OWN)
    of_characters = copying.character_sources(whole, record)
    starts = []
    for text in texts:
        start = 0
        while start < len(text) and start < len(whole) and text[start] == whole[start]:
            start += 1
        starts.append(start)
    for place in range(len(written)):
        visible = [k for k in range(starts[place], starts[place + 1]) if not whole[k].isspace()] or [starts[place]]
        if visible[0] < len(whole):
            sources[place] = of_characters[visible[0]]
    if len(written) < len(ids):
        sources[-1] = of_characters[-1]
    return sources


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("reply", REPLIES)
def test_sources_of_ids_are_those_of_their_characters(reply, finished):
    ids = scored_answer(TOKENIZER, Reply(reply, finished), None).ids
    for horizon in (None, 7):
        found = token_sources(TOKENIZER, ids[:horizon], RECORD)
        np.testing.assert_array_equal(found, by_beginnings(ids[:horizon], RECORD))
        assert len(found) == len(ids[:horizon])
    assert (copying.ECHO in token_sources(TOKENIZER, ids, RECORD)) == (reply in REPLIES[:3])
