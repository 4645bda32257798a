"""A model on this machine as an endpoint: its replies are the sampler's, cut at stops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_vocabulary import small_tokenizer
from tiny import plain_logprobs, tiny_chat_model

from remid_jax.endpoints.chat import Chat, Sampling, Usage
from remid_jax.endpoints.local import Local, written
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.generation import Generator, Prompt, Sample
from remid_jax.scoring.store import Store

CHATS = [[{"role": "user", "content": text}] for text in ("Who are you?", "What do you want?")]


def local():
    model = tiny_chat_model()
    return model, Local(Generator(model, Devices(), Store(":memory:"), 4))


def ask(endpoint, chats):
    return endpoint.ask(chats, lambda done, total: None)


def test_greedy_replies_are_the_samplers_whatever_is_asked_beside_them():
    model, endpoint = local()
    prompts = [model.tokenizer.encode_chat(messages) for messages in CHATS]
    plain = Generator(model, Devices(), Store(":memory:"), 4).generate(
        [Prompt(ids) for ids in prompts], Sampler(10, model.end_ids)
    )
    asked = [Chat(CHATS[0], Sampling(10)), Chat(CHATS[0], Sampling(3, temperature=1.0), n=2), Chat(CHATS[1], Sampling(10))]
    first, few, second = ask(endpoint, asked)
    for [reply], [sample], ids in zip((first, second), plain, prompts, strict=True):
        assert reply.text == model.tokenizer.decode(sample.ids)
        assert reply.usage == Usage(len(ids), len(sample.ids))
        assert reply.finish == ("stop" if sample.finish == "end" else "length")
        np.testing.assert_allclose(reply.logprobs, plain_logprobs(model, ids, list(sample.ids)), atol=1e-4)
    assert len(few) == 2
    assert all(reply.usage.completion <= 3 for reply in few)


def test_draws_depend_on_seed_and_number_alone():
    _, endpoint = local()

    def texts(seed, n):
        [replies] = ask(endpoint, [Chat(CHATS[0], Sampling(8, temperature=1.0, seed=seed), n=n)])
        return [reply.text for reply in replies]

    assert texts(1, 4)[:2] == texts(1, 2)
    assert texts(1, 4) != texts(2, 4)
    assert len(set(texts(1, 4))) > 1


@given(st.text(alphabet="abc fox狐", max_size=30), st.lists(st.text(alphabet="abc x狐", min_size=1, max_size=3), max_size=3))
def test_a_text_ends_before_the_first_stop_and_keeps_the_fewest_tokens_that_make_it(text, stops):
    tokenizer, _ = small_tokenizer()
    ids = tuple(tokenizer.encode(text))
    said, kept, finish = written(tokenizer, Sample(ids, (0.0,) * len(ids), "length"), stops)
    whole = tokenizer.decode(ids)
    assert said == min((whole.split(stop)[0] for stop in stops), key=len, default=whole)
    assert finish == ("stop" if any(stop in whole for stop in stops) else "length")
    assert tokenizer.decode(ids[:kept]).startswith(said)
    assert kept == 0 or finish == "length" or not tokenizer.decode(ids[: kept - 1]).startswith(said)
