"""The world in which reasoning can help: truths by plain loops, draws by their law, models by plain forward passes."""

import itertools
import math
from collections import Counter

import numpy as np
import plain_worlds
import pytest
from scipy import stats
from tiny import plain_logprobs

from remid_jax.dialogues.parsing import core_features
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl
from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.scoring.store import Store
from remid_jax.synthetic import world_models
from remid_jax.synthetic.reasoned_world import (
    BY_FEATURE,
    CHARACTERS,
    DIALOGUES,
    FEATURES,
    GOLDEN,
    LAWS,
    REPLIES,
    SHIFTS,
    USERS,
    compared,
    contexts,
    drawn,
    measures,
    policies,
    truth,
)

CELLS = list(itertools.product(range(3), range(4), range(4)))
SHARES = {"user": [0.5, 0.3, 0.2], "character": [0.4, 0.3, 0.2, 0.1], "dialogue": [0.4, 0.3, 0.2, 0.1]}


def golden(u, c, d):
    """The eight phrases' probabilities, from the feature's own on."""
    z = (2 * u + c + d) % 5
    return [(0.46, 0.22, 0.12, 0.04, 0.04, 0.04, 0.04, 0.04)[(y - z) % 8] for y in range(8)]


def law(shifted=None):
    factors = [share[::-1] if name == shifted else share for name, share in SHARES.items()]
    return {(u, c, d): factors[0][u] * factors[1][c] * factors[2][d] for u, c, d in CELLS}


def club(of, reply, loglik):
    """Matched minus mismatched mean of `loglik(x, y)`, contexts by `of`, replies by `reply(x)`."""
    matched = sum(of[x] * reply(*x)[y] * loglik(x, y) for x in CELLS for y in range(8))
    said = [sum(of[x] * reply(*x)[y] for x in CELLS) for y in range(8)]
    return matched - sum(of[x] * said[y] * loglik(x, y) for x in CELLS for y in range(8))


def flattened(u, c, d):
    doubt = (0.1, 0.3, 0.5, 0.7)[c]
    return [(1 - doubt) * p + doubt / 8 for p in golden(u, c, d)]


KERNELS = {
    "flattened": flattened,
    "user_blind": lambda u, c, d: golden(0, c, d),
    "dialogue_confused": lambda u, c, d: golden(u, c, d % 2),
}


def mutual(of, reply):
    return plain_worlds.information({(x, y): of[x] * reply(*x)[y] for x in CELLS for y in range(8)})


def test_truths_are_sums_by_hand():
    found = truth()
    laws = {"id": law(), **{shift: law(shift) for shift in SHIFTS}}
    for name, of in laws.items():
        information = mutual(of, golden)
        said = [sum(of[x] * golden(*x)[y] for x in CELLS) for y in range(8)]
        reverse = sum(of[x] * said[y] * math.log(said[y] / golden(*x)[y]) for x in CELLS for y in range(8))
        assert found["mutual_information"][name] == pytest.approx(information, abs=1e-12)
        assert found["golden_information"][name] == pytest.approx(information + reverse, abs=1e-12)
    entropy = -sum(laws["id"][x] * p * math.log(p) for x in CELLS for p in golden(*x))
    assert found["golden_log_likelihood"] == pytest.approx(-entropy, abs=1e-12)

    def right(x, y):
        return math.log(golden(*x)[y])

    for policy, reply in KERNELS.items():
        emi = {name: club(of, reply, right) - club(of, golden, right) for name, of in laws.items()}
        assert found["r_emi"][policy] == pytest.approx(emi, abs=1e-12)
        assert found["r_emid"][policy] == pytest.approx({name: emi["id"] - emi[name] for name in SHIFTS}, abs=1e-12)
        exact = {name: mutual(of, reply) - mutual(of, golden) for name, of in laws.items()}
        assert found["emi"][policy] == pytest.approx(exact, abs=1e-12)
    assert policies().keys() == KERNELS.keys()
    assert [max(found["r_emid"][policy], key=found["r_emid"][policy].get) for policy in KERNELS] == [
        "character",
        "user",
        "dialogue",
    ]


def test_a_perfect_critic_has_no_error_and_a_wrong_one_its_own():
    logs = np.log(GOLDEN).reshape(48, 8)
    exact = compared(logs)
    assert exact["r_emid_rmse"] == exact["golden_information_error"] == exact["golden_log_likelihood_gap"] == 0
    # What a reply or a context adds everywhere cancels in R-EMI, and is missed in the log-likelihood alone.
    shifted = compared(logs - 0.5 - np.arange(8) - np.arange(48)[:, None])
    assert shifted["r_emid_rmse"] == pytest.approx(0, abs=1e-12)
    assert shifted["golden_log_likelihood_gap"] < -0.5
    halved = compared(logs / 2)
    right = truth()["r_emid"]
    errors = [-right[policy][shift] / 2 for policy in KERNELS for shift in SHIFTS]
    assert [halved["r_emid_error"][policy][shift] for policy in KERNELS for shift in SHIFTS] == pytest.approx(errors)
    assert halved["r_emid_rmse"] == pytest.approx(math.sqrt(sum(e * e for e in errors) / 9))


def test_records_follow_their_law():
    records, reasoning = drawn(20_000, 5)
    seen = Counter((of.user_persona, of.agent_character["is"], of.dialogue[0].text) for of in records)
    cells = [(USERS[u], CHARACTERS[c], DIALOGUES[d]) for u, c, d in CELLS]
    assert stats.chisquare([seen[cell] for cell in cells], [20_000 * p for p in law().values()]).pvalue > 0.01
    replied, taught = np.zeros((5, 8)), np.zeros((5, 8, 5))
    for of in records:
        u, c, d = CELLS[cells.index((of.user_persona, of.agent_character["is"], of.dialogue[0].text))]
        y = REPLIES.index(of.golden)
        replied[(2 * u + c + d) % 5, y] += 1
        seen_by_teacher = (2 * (u % 2) + c + d) % 5  # who takes Cy for Ana
        taught[seen_by_teacher, y, FEATURES.index(core_features(reasoning[of.id]).text.removeprefix("- "))] += 1
    for z in range(5):
        expected = np.array(golden(0, z, 0))
        assert stats.chisquare(replied[z], replied[z].sum() * expected).pvalue > 0.01
        posterior = BY_FEATURE / BY_FEATURE.sum(0)
        named = 0.7 * np.eye(5)[z] + 0.3 * posterior.T  # [Y, Z]
        observed, wanted = taught[z].ravel(), (named * taught[z].sum(1, keepdims=True)).ravel()
        assert stats.chi2.sf(((observed - wanted) ** 2 / wanted).sum(), 8 * 4) > 0.01
    assert drawn(20, 5) == drawn(20, 5)
    assert drawn(20, 6) != drawn(20, 5)


def test_records_can_be_read_as_a_benchmark(tmp_path):
    records, _ = drawn(16, 0)
    write_jsonl(tmp_path / "records.jsonl", records)
    assert read_benchmark(tmp_path / "records.jsonl").test == {"IDTest": records}
    with pytest.raises(UserError, match=r"config.world.records=1: .* at least 2"):
        drawn(1, 0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    world_models.write_base(folder, Prompts.load(world_models.PROMPTS), steps=3, batch=8, learning_rate=1e-2, seed=0)
    return open_model(str(folder), "float32")


def test_every_word_of_the_world_is_a_token(base):
    prompts, tokenizer = Prompts.load(world_models.PROMPTS), base.tokenizer
    for record in contexts():
        for messages, opening in (
            prompts.reasoner(record),
            prompts.responder(record, "- sly"),
            prompts.judge(record, None, "no"),
        ):
            ids = tokenizer.encode_chat(messages) + tokenizer.encode(opening)
            assert tokenizer.encode("unheard")[0] not in ids
            said = [word for message in messages for word in (message["role"], *message["content"].split())]
            assert tokenizer.decode(ids).split() == [*said, "assistant", *opening.split()]
    for text in (*REPLIES, "- merry ```", "100%", "0%"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_log_likelihoods_are_those_of_plain_passes(base):
    prompts, tokenizer = Prompts.load(world_models.PROMPTS), base.tokenizer
    features = [f"- {FEATURES[n % 5]}" if n % 3 else "" for n in range(48)]
    found = world_models.log_likelihoods(base, prompts, features, Store(":memory:"))
    bare = world_models.log_likelihoods(base, prompts, None, Store(":memory:"))
    for n, y in ((0, 4), (7, 0), (31, 7), (47, 2)):
        ids = (*tokenizer.encode(REPLIES[y]), tokenizer.end_of_turn_id)
        for logs, of in ((found, features[n]), (bare, None)):
            messages, opening = prompts.responder(contexts()[n], of)
            prefix = tokenizer.encode_chat(messages) + tokenizer.encode(opening)
            assert logs[n, y] == pytest.approx(plain_logprobs(base, prefix, ids).sum(), abs=1e-4)
    np.testing.assert_allclose(found[::3], bare[::3], atol=1e-5)
    assert abs(found[1] - bare[1]).max() > 1e-3


def test_reasoning_is_greedy_and_counted_where_it_names_the_feature(base):
    prompts = Prompts.load(world_models.PROMPTS)
    found = world_models.reasoned(base, prompts, Store(":memory:"))
    assert len(found) == 48
    right = [f"- {FEATURES[(2 * u + c + d) % 5]}" for u, c, d in CELLS]
    assert world_models.named(right) == pytest.approx(1)
    assert world_models.named([*right[:12], *["- odd"] * 36]) == pytest.approx(0.5 * (0.4 + 0.3 + 0.2))  # Ana and three of four
    prefix = base.tokenizer.encode_chat(prompts.reasoner(contexts()[3])[0]) + base.tokenizer.encode(
        prompts.reasoner(contexts()[3])[1]
    )
    written = []
    for _ in range(world_models.MAX_REASONING):
        options = [plain_logprobs(base, [*prefix, *written], (token,))[0] for token in range(base.config.vocab_size)]
        written.append(int(np.argmax(options)))
        if written[-1] == base.tokenizer.end_of_turn_id:
            break
    assert found[3] == core_features(prompts.reasoner(contexts()[3])[1] + base.tokenizer.decode(written)).text


def test_the_language_is_of_unrelated_worlds(base):
    tokenizer, language = base.tokenizer, world_models.language(base, Prompts.load(world_models.PROMPTS), 1)
    named, judged, replied = {}, Counter(), np.zeros((4, 5, 8))
    for reasoner, responder, _, judge in itertools.islice(zip(*[language] * 4, strict=True), 6000):
        _, user, world, _, character, _, dialogue, *_ = tokenizer.decode(reasoner.prefix).split()
        features, fence = tokenizer.decode(reasoner.continuations[0].ids).rsplit(" ", 1)
        assert fence == "```"
        assert named.setdefault((world, user, character, dialogue), features) == features
        [z] = [z for z, name in enumerate(FEATURES) if f"- {name}" in tokenizer.decode(responder.prefix)]
        y = REPLIES.index(tokenizer.decode(responder.continuations[0].ids))
        replied[world_models.ELSEWHERE.index(world), z, y] += 1
        reference, _, candidate = tokenizer.decode(judge.prefix).partition("compare ")[2].rpartition(" - ")[0].partition(" to")
        judged[reference == candidate.strip(), tokenizer.decode(judge.continuations[0].ids)] += 1
    law = replied / replied.sum(2, keepdims=True)
    np.testing.assert_allclose(np.sort(law), np.sort(BY_FEATURE)[None].repeat(4, 0), atol=0.1)
    cells = list(itertools.product(USERS, CHARACTERS, DIALOGUES))
    for number, world in enumerate(world_models.ELSEWHERE):
        assert world_models.named([named[world, *cell] for cell in cells]) < 0.5
        assert abs(law[number] - BY_FEATURE).max() > 0.3
    assert set(judged) == {(True, "100%"), (False, "0%")}


def test_measures_need_no_more_than_log_likelihoods():
    logs = np.random.default_rng(0).normal(size=(48, 8))
    found = measures(logs)
    assert found["golden_information"]["user"] == pytest.approx(club(law("user"), golden, lambda x, y: logs[CELLS.index(x), y]))
    assert {name: of.shape for name, of in LAWS.items()} == dict.fromkeys(("id", *SHIFTS), (3, 4, 4))
