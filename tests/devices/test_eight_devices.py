"""Eight devices, by mesh or by pmap, parameters split or whole: the numbers of one device."""

import dataclasses

import jax
import numpy as np
import pytest
from tiny import REQUESTS, assert_equal, reference, tiny_model, tokens

from remid_jax.errors import UserError
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Draw, Generator, Prompt, record_key
from remid_jax.scoring.store import Store

LAYOUTS = [("mesh", 1), ("mesh", 2), ("mesh", 8), ("pmap", 1)]


def placed(devices):
    """The tiny model with its parameters where `open_model` would put them."""
    return dataclasses.replace(tiny_model(), mesh=devices.parameter_mesh)


@pytest.fixture(scope="module")
def expected():
    return [[reference(request, continuation) for continuation in request.continuations] for request in REQUESTS]


@pytest.mark.parametrize(("parallel", "model_axis"), LAYOUTS)
def test_scores_are_those_of_one_device(tmp_path, expected, parallel, model_axis):
    assert jax.device_count() == 8
    devices = Devices(parallel, model_axis)
    found = ScoringEngine(placed(devices), devices, Store(tmp_path / "store"), 256, 256).score(REQUESTS)
    assert_equal(found, expected)


@pytest.mark.parametrize(("parallel", "model_axis"), LAYOUTS)
def test_samples_are_those_of_one_row_alone(tmp_path, parallel, model_axis):
    devices, single = Devices(parallel, model_axis), Devices("mesh", 8)
    prompts = [Prompt(tokens(n), [Draw(1.0, 1.1, record_key(0, "t", f"{n} {d}")) for d in range(2)]) for n in (3, 50, 17)]
    sampler = Sampler(12, (1,))
    found = Generator(placed(devices), devices, Store(tmp_path / "store"), 16).generate(prompts, sampler)
    alone = [
        Generator(placed(single), single, Store(tmp_path / "alone"), 2).generate([prompt], sampler)[0] for prompt in prompts
    ]
    for many, one in zip(found, alone, strict=True):
        for a, b in zip(many, one, strict=True):
            assert a.ids == b.ids
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)


def short_replies(layout, count, rows):
    """Replies of about 11 tokens, up to 64, to `count` prompts with a draw or three, in turn; and what was computed."""
    rng, devices = np.random.default_rng(3), Devices(*layout)
    generator = Generator(placed(devices), devices, Store(":memory:"), rows)
    prompts = [
        Prompt(
            rng.integers(9, 97, rng.integers(3, 41)).tolist(),
            [Draw(1.0, key=record_key(0, "short", f"{n} {draw}")) for draw in range(1 + 2 * (n % 2))],
        )
        for n in range(count)
    ]
    found = generator.generate(prompts, Sampler(64, tuple(range(1, 9))))
    return [sample for samples in found for sample in samples], generator.counts


def idle_share(samples, counts):
    said = sum(len(sample.ids) for sample in samples)
    return counts.idle / (said + counts.idle)


def test_rows_move_between_devices_and_say_what_they_say_on_one():
    """When nobody waits, two rows a device are the fewest: 150 replies are few beside the last 16 rows."""
    expected, _ = short_replies(("mesh", 8), 76, 32)
    samples, counts = short_replies(("mesh", 1), 76, 64)
    print(f"{idle_share(samples, counts):.1%} after a row's end")
    for a, b in zip(samples, expected, strict=True):
        assert (a.ids, a.finish) == (b.ids, b.finish)
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    assert idle_share(samples, counts) < 0.25


def test_of_many_short_replies_under_a_twentieth_is_computed_after_their_ends():
    (samples, counts), (copied, copies) = (short_replies((parallel, 1), 600, 32) for parallel in ("mesh", "pmap"))
    print(f"{idle_share(samples, counts):.1%} after a row's end")
    assert idle_share(samples, counts) < 0.05
    assert (copies.idle, copies.tokens, copies.padding) == (counts.idle, counts.tokens, counts.padding)
    assert [(sample.ids, sample.finish) for sample in copied] == [(sample.ids, sample.finish) for sample in samples]


def test_parameters_are_really_split():
    params = placed(Devices("mesh", 8)).params
    kernel = params["layers"]["mlp"]["up"]["kernel"][...]
    assert kernel.sharding.shard_shape(kernel.shape) == (2, 32, 6)


@pytest.mark.parametrize(("parallel", "model_axis"), [("mesh", 3), ("mesh", 0), ("pmap", 2), ("threads", 1)])
def test_layouts_that_do_not_exist_are_refused(parallel, model_axis):
    with pytest.raises(UserError, match=r"choose|use"):
        Devices(parallel, model_axis)
