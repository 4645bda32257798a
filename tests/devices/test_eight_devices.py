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


def test_parameters_are_really_split():
    params = placed(Devices("mesh", 8)).params
    kernel = params["layers"]["mlp"]["up"]["kernel"][...]
    assert kernel.sharding.shard_shape(kernel.shape) == (2, 32, 6)


@pytest.mark.parametrize(("parallel", "model_axis"), [("mesh", 3), ("mesh", 0), ("pmap", 2), ("threads", 1)])
def test_layouts_that_do_not_exist_are_refused(parallel, model_axis):
    with pytest.raises(UserError, match=r"choose|use"):
        Devices(parallel, model_axis)
