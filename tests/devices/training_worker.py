"""One of the hosts of test_two_hosts that train: how many, which, port, folder, model, records."""

import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import dataclasses

import jax
from tiny import tiny_model
from training import moved_adapter

from configs import policy_sft
from remid_jax.learning.policy_training import train
from remid_jax.models.adapters import adapted, adapter_of
from remid_jax.models.loading import on_this_host
from remid_jax.parallel import Devices

hosts, host, port, folder, model, records = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), *sys.argv[5:]
jax.distributed.initialize(f"127.0.0.1:{port}", hosts, host)
devices = Devices("mesh", jax.device_count())

split = adapted(dataclasses.replace(tiny_model(), mesh=devices.parameter_mesh), moved_adapter())
assert all(leaf.is_fully_addressable for leaf in jax.tree.leaves(split.added)) == (hosts == 1)
(folder / f"fingerprint{host}").write_text(adapter_of(on_this_host(split)).fingerprint)

for rank in (0, 2):
    config = policy_sft.get_config()
    config.model, config.benchmark.source, config.batch, config.steps, config.keep_every = model, records, 2, 1, 1
    config.lora.rank, config.devices.mesh_model, config.devices.tokens_per_step = rank, jax.device_count(), 1024
    train(config, folder / f"rank{rank}")
