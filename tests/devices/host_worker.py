"""One of the hosts of test_two_hosts that score: how many, which, port, folder."""

import os
import pickle
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import dataclasses

import jax
from tiny import REQUESTS, tiny_model

from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.generation import Draw, Generator, Prompt, record_key
from remid_jax.scoring.store import Store

hosts, host, port, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
jax.distributed.initialize(f"127.0.0.1:{port}", hosts, host)


devices = Devices("mesh", 2)
model = dataclasses.replace(tiny_model(), mesh=devices.parameter_mesh)
(folder / str(host)).mkdir(exist_ok=True)
store = Store(folder / str(host) / "store.sqlite")
engine = ScoringEngine(model, devices, store, 256, 256)
scores = engine.score(REQUESTS)
prompts = [Prompt(request.prefix, [Draw(1.0, key=record_key(0, "t", str(len(request.prefix))))]) for request in REQUESTS]
samples = Generator(model, devices, store, 8).generate(prompts, Sampler(10, (1,)))
(folder / f"host{host}.pickle").write_bytes(pickle.dumps((scores, samples, dataclasses.asdict(engine.counts))))
