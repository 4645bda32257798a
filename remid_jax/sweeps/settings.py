"""What every sweep can be told beside its points: which to run, where, and what to show. A config of a sweep begins from it."""

from __future__ import annotations

from ml_collections import ConfigDict, config_dict


def default_settings() -> ConfigDict:
    """Returns the settings that all sweeps share. None of them changes a number."""
    config = ConfigDict()
    config.only = ()  # points to run, by patterns such as "evaluate/*sft"; by default all
    config.only_tables = False  # write the page of what is done, and run nothing
    config.list = False  # show each point with its state, and run nothing
    config.dry_run = False  # the same, with the tokens and hours that are expected
    config.retry_failed = False  # run points again that failed
    config.shard = config_dict.placeholder(str)  # "2/3": every third point from the second on, in an index of its own
    config.merge = False  # join the indexes of all shards into config.output, and write the page
    config.launcher = "serial"  # or "ray"

    config.address = config_dict.placeholder(str)  # of Ray: "auto" or HOST:PORT; by default it is started on this machine
    config.workers = config_dict.placeholder(int)  # that Ray runs; by default as many as there is room for at the start
    config.hosts = config_dict.placeholder(int)  # that run each point together, for models too large for one; by default one
    config.retries = 2  # of a point whose worker was lost
    config.folder = config_dict.placeholder(str)  # where nodes without this workdir keep files; by default a temporary one
    config.point = ConfigDict()  # what a worker, or each host of it, gets for one point
    config.point.cpus = 1
    config.point.gpus = 0
    config.point.memory = config_dict.placeholder(float)  # GiB
    config.point.resources = ()  # others by name, such as (("TPU", 4),)
    return config
