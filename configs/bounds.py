"""Every bound on EMID, exactly, on finite worlds given as arrays: about a minute for 100,000 worlds of 3x3x3x6.

    python -m experiments.bounds --config.worlds=WORLDS.npz --config.output=BOUNDS.npz

WORLDS.npz holds `p_x`, `q_x` [B, U, C, D] and `p_y`, `q_y`, `theta` [B, U, C, D, Y]: laws of contexts under P and Q, golden
kernels under P and Q, the policy's kernel. BOUNDS.npz gets `emid` [B] and an array [B] after each bound, in nats. What each
bound says and needs: remid_jax/theory/bounds/on_worlds.py.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.worlds = config_dict.placeholder(str)
    config.output = config_dict.placeholder(str)
    config.terms = False  # True adds every bound's terms, as "information/output", and the attribution to factors
    config.block = 1000  # worlds a device step
    config.parallel = "mesh"  # or "pmap"
    return config
