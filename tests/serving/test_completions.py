"""What clients get over HTTP is what the engines say: log-likelihoods of `remid_jax.score`, the sampler's replies."""

import json
from operator import itemgetter

import httpx2
import numpy as np
import openai
import pytest
from running import running
from tiny import plain_logprobs, tiny_chat_model

from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.progress import Silent
from remid_jax.scoring.generation import Draw, Generator, Prompt
from remid_jax.scoring.score import score
from remid_jax.scoring.store import Store

TEXTS = ["Once upon a time there was a fox", "Who are you?", "The weather in Kyoto"]
CHAT = [{"role": "system", "content": "You are a fox."}, {"role": "user", "content": "Who are you?"}]


@pytest.fixture(scope="module")
def model():
    return tiny_chat_model()


@pytest.fixture(scope="module")
def base_url(model):
    with running(model) as (url, _):
        yield url


@pytest.fixture(scope="module")
def post(base_url):
    """post("/completions", body): the answer's JSON."""
    with httpx2.Client(timeout=120) as client:

        def post(path, **body):
            answer = client.post(base_url + path, json={"model": "tiny"} | body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        yield post


@pytest.fixture(scope="module")
def client(base_url):
    return openai.OpenAI(api_key="none", base_url=base_url, max_retries=0)


def greedy(model, prompts, max_new):
    generator = Generator(model, Devices(), Store(":memory:"), 4)
    return [own[0] for own in generator.generate([Prompt(ids) for ids in prompts], Sampler(max_new, model.end_ids))]


def as_lm_eval_reads(choice, length):
    """What lm-eval 0.4.13 makes of a choice: the log-likelihood behind `length` tokens, and whether these are greedy."""
    columns = choice["logprobs"]
    values, tops = columns["token_logprobs"][length:-1], columns["top_logprobs"][length:-1]
    return sum(values), all(value == max(top.values()) for value, top in zip(values, tops, strict=True))


def test_log_likelihoods_as_lm_eval_asks_for_them_are_those_of_score(post, model):
    pairs = [
        (model.tokenizer.encode_prompt(text), model.tokenizer.encode(answer)) for text in TEXTS for answer in (" yes.", " 狐")
    ]
    pairs += [(prompt, list(greedy(model, [prompt], 4)[0].ids)) for prompt, _ in pairs[:2]]  # a greedy continuation
    pairs.append(([5], [6]))
    body = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    found = post("/completions", prompt=[prompt + answer for prompt, answer in pairs], **body)
    lines = [{"id": n, "prefix_ids": prompt, "answer_ids": [answer]} for n, (prompt, answer) in enumerate(pairs)]
    expected = score(model, lines, progress=Silent())
    for (prompt, answer), choice, own in zip(pairs, sorted(found["choices"], key=itemgetter("index")), expected, strict=True):
        loglik, is_greedy = as_lm_eval_reads(choice, len(prompt))
        assert loglik == pytest.approx(own.loglik[0], abs=1e-4)
        assert is_greedy == (list(greedy(model, [prompt], len(answer))[0].ids) == answer)
        columns = choice["logprobs"]
        assert len(columns["tokens"]) == len(columns["token_logprobs"]) == len(prompt) + len(answer) + 1
        assert columns["token_logprobs"][0] is None
        # The drawn token is the likeliest one.
        [drawn] = greedy(model, [prompt + answer], 1)
        assert columns["token_logprobs"][-1] == pytest.approx(drawn.logprobs[0], abs=1e-4)
        assert columns["tokens"][-1] == model.tokenizer.decode(drawn.ids)
    assert {is_greedy for choice, (prompt, _) in zip(found["choices"], pairs, strict=True)
            for _, is_greedy in [as_lm_eval_reads(choice, len(prompt))]} == {True, False}  # fmt: skip


def test_the_likeliest_token_is_that_of_a_plain_softmax(post, model):
    prompt = model.tokenizer.encode_prompt(TEXTS[0])
    [choice] = post("/completions", prompt=prompt, max_tokens=0, logprobs=1, echo=True)["choices"]
    assert choice["text"] == TEXTS[0]
    values = choice["logprobs"]["token_logprobs"][1:]
    np.testing.assert_allclose(values, plain_logprobs(model, prompt[:1], prompt[1:]), atol=1e-4)
    for place, top in enumerate(choice["logprobs"]["top_logprobs"][1:], 1):
        [drawn] = greedy(model, [prompt[:place]], 1)
        assert max(top.values()) == pytest.approx(drawn.logprobs[0], abs=1e-4)
        assert model.tokenizer.decode(drawn.ids) in top


def test_a_prompt_of_one_token_has_nothing_to_rank_and_harms_none_beside_it(post, model):
    prompt = model.tokenizer.encode_prompt(TEXTS[0])
    short, long = post("/completions", prompt=[[5], prompt], max_tokens=0, logprobs=1, echo=True)["choices"]
    assert (short["logprobs"]["token_logprobs"], short["logprobs"]["top_logprobs"]) == ([None], [None])
    assert len(long["logprobs"]["token_logprobs"]) == len(prompt)
    [nothing] = post("/completions", prompt=prompt, max_tokens=0, logprobs=1)["choices"]
    assert (nothing["text"], nothing["logprobs"]["tokens"]) == ("", [])


def test_score_answers_as_the_function_does(post, model):
    lines = [
        {"id": "chat", "messages": CHAT, "answers": ["A fox.", "狐。"]},
        {"id": 7, "prompt": TEXTS[0], "answers": [" there was"]},
        {"id": "ids", "prefix_ids": [5, 6, 7], "answer_ids": [[8], [9, 10]]},
    ]
    results = post("/score", requests=lines)["results"]
    for line, own in zip(results, score(model, lines, progress=Silent()), strict=True):
        assert (line["id"], tuple(line["n_tokens"])) == (own.id, own.n_tokens)
        assert line["loglik"] == pytest.approx(own.loglik, abs=1e-4)
        for row, expected in zip(line["logprobs"], own.logprobs, strict=True):
            np.testing.assert_allclose(row, expected, atol=1e-4)


def test_greedy_replies_are_the_samplers(client, post, model):
    prompts = [model.tokenizer.encode_chat(CHAT)]
    [sample] = greedy(model, prompts, 12)
    answer = client.chat.completions.create(
        model="tiny", messages=CHAT, max_tokens=12, temperature=0, logprobs=True, top_logprobs=1
    )
    [choice] = answer.choices
    assert choice.message.content == model.tokenizer.decode(sample.ids)
    assert choice.finish_reason == ("stop" if sample.finish == "end" else "length")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(prompts[0]), len(sample.ids))
    np.testing.assert_allclose([token.logprob for token in choice.logprobs.content], sample.logprobs, atol=1e-4)
    for token in choice.logprobs.content:
        assert token.top_logprobs[0].logprob == pytest.approx(token.logprob, abs=1e-6)  # greedy tokens are the likeliest
    texts = [model.tokenizer.encode_prompt(text) for text in TEXTS]
    found = client.completions.create(model="tiny", prompt=TEXTS, max_tokens=9, temperature=0)
    assert [choice.text for choice in found.choices] == [model.tokenizer.decode(own.ids) for own in greedy(model, texts, 9)]


def test_draws_depend_on_the_seed_and_are_counted(client):
    def draw(seed, n=4):
        found = client.completions.create(model="tiny", prompt=TEXTS[1], max_tokens=8, temperature=1.0, n=n, seed=seed)
        return [choice.text for choice in found.choices]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) > 1
    assert draw(1, n=2) == draw(1)[:2]


def test_a_penalty_is_the_samplers(post, model):
    prompt = model.tokenizer.encode_prompt(TEXTS[0])
    generator = Generator(model, Devices(), Store(":memory:"), 4)
    [[own]] = generator.generate([Prompt(prompt, [Draw(repetition_penalty=1.5)])], Sampler(10, model.end_ids))
    [choice] = post("/completions", prompt=prompt, max_tokens=10, temperature=0, repetition_penalty=1.5)["choices"]
    assert choice["text"] == model.tokenizer.decode(own.ids)


def test_a_reply_ends_before_the_first_stop_and_so_do_its_log_probabilities(post, model):
    prompt = model.tokenizer.encode_prompt(TEXTS[0])
    [sample] = greedy(model, [prompt], 10)
    whole = model.tokenizer.decode(sample.ids)
    stop = whole[len(whole) // 2 :][:3]
    expected = whole[: whole.find(stop)]
    [choice] = post("/completions", prompt=prompt, max_tokens=10, temperature=0, stop=[stop, "never"], logprobs=0)["choices"]
    assert (choice["text"], choice["finish_reason"]) == (expected, "stop")
    columns = choice["logprobs"]
    assert columns["top_logprobs"] is None
    count = len(columns["tokens"])
    assert model.tokenizer.decode(sample.ids[:count]).startswith(expected)
    assert not model.tokenizer.decode(sample.ids[: max(0, count - 1)]).startswith(expected) or not expected
    np.testing.assert_allclose(columns["token_logprobs"], sample.logprobs[:count], atol=1e-4)


def test_models(base_url, client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert json.loads(httpx2.get(f"{base_url}/models").text)["object"] == "list"
