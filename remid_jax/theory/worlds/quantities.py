"""Every exact quantity of a world that the bounds are made of (docs/metric.md, sections 2 and 4; docs/theory.md, section 2)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from remid_jax.theory.divergences import entropy, h, js, kl, psi, tilt, tv
from remid_jax.theory.worlds.world import World


class Quantities(NamedTuple):
    """Nats. With M = (P + Q)/2 everywhere, exactly EMID = (E_P - E_Q) g + output + concept."""

    p: Float[Array, "U C D"]  # P_X
    q: Float[Array, "U C D"]  # Q_X
    m: Float[Array, "U C D"]  # M_X
    s: Float[Array, "U C D"]  # (P - Q)/(P + Q)
    theta: Float[Array, "U C D Y"]  # P_theta(y|x)
    golden: Float[Array, "U C D Y"]  # Q_{Y|X}; where Q has no mass, and it means nothing, P_{Y|X}
    golden_p: Float[Array, "U C D Y"]  # P_{Y|X}
    outputs: Outputs
    g_theta: Float[Array, "U C D"]  # KL(P_theta(.|x) || M_Ytheta); 0 at contexts of probability 0
    g_golden: Float[Array, "U C D"]  # KL(Q_{Y|x} || M_Y)
    g: Float[Array, "U C D"]  # g_theta - g_golden
    output: Float[Array, ""]  # T = KL(Q_Yth||M_Yth) - KL(P_Yth||M_Yth) + KL(P_Y||M_Y) - KL(Q_Y||M_Y)
    concept: Float[Array, ""]  # E_P [KL(Q_{Y|x}||M_Y) - KL(P_{Y|x}||M_Y)], 0 without concept shift
    js_x: Float[Array, ""]  # D_JS(P_X || Q_X)
    js_xy: Float[Array, ""]  # D_JS(P_XY || Q_XY), which is js_x without concept shift
    tv_x: Float[Array, ""]
    tv_xy: Float[Array, ""]
    emi_p: Float[Array, ""]  # I(P_X (x) P_theta) - I(P_XY)
    emi_q: Float[Array, ""]
    emid: Float[Array, ""]  # emi_p - emi_q


class Outputs(NamedTuple):
    """The laws of replies."""

    p_theta: Float[Array, " Y"]
    q_theta: Float[Array, " Y"]
    p_golden: Float[Array, " Y"]
    q_golden: Float[Array, " Y"]


def mean(law: Float[Array, "U C D"], values: Float[Array, "U C D *more"]) -> Float[Array, "*more"]:
    """E values under a law of contexts."""
    return jnp.tensordot(law, values, 3)


def information(law: Float[Array, "U C D"], kernel: Float[Array, "U C D Y"]) -> Float[Array, ""]:
    """I(X;Y) = E KL(kernel(.|x) || Y's law)."""
    return mean(law, kl_where(law, kernel, mean(law, kernel)))


def kl_where(
    law: Float[Array, "U C D"], kernel: Float[Array, "U C D Y"], reference: Float[Array, " Y"]
) -> Float[Array, "U C D"]:
    """KL(kernel(.|x) || reference) at contexts that `law` reaches, else 0."""
    reached = law > 0
    return jnp.where(reached, kl(jnp.where(reached[..., None], kernel, reference), reference), 0.0)


def quantities(world: World) -> Quantities:
    """The quantities of one world; nothing divides by the probability of a context or a reply that never occurs."""
    p, q, theta, golden_p, golden_q = map(jnp.asarray, (world.p_x, world.q_x, world.theta, world.p_y, world.q_y))
    golden = jnp.where((q > 0)[..., None], golden_q, golden_p)
    m, s = (p + q) / 2, tilt(p, q)
    outputs = Outputs(mean(p, theta), mean(q, theta), mean(p, golden_p), mean(q, golden))
    m_theta, m_golden = (outputs.p_theta + outputs.q_theta) / 2, (outputs.p_golden + outputs.q_golden) / 2
    g_theta, g_golden = kl_where(m, theta, m_theta), kl_where(m, golden, m_golden)
    joint_p, joint_q = (p[..., None] * golden_p).ravel(), (q[..., None] * golden).ravel()
    emi_p = information(p, theta) - information(p, golden_p)
    emi_q = information(q, theta) - information(q, golden)
    return Quantities(
        p, q, m, s, theta, golden, golden_p, outputs, g_theta, g_golden, g_theta - g_golden,
        output=output_term(outputs.p_theta, outputs.q_theta) - output_term(outputs.p_golden, outputs.q_golden),
        concept=mean(p, g_golden - kl_where(p, golden_p, m_golden)),
        js_x=mean(m, psi(s)), js_xy=js(joint_p, joint_q), tv_x=tv(p.ravel(), q.ravel()), tv_xy=tv(joint_p, joint_q),
        emi_p=emi_p, emi_q=emi_q, emid=emi_p - emi_q,
    )  # fmt: skip


def output_term(p: Float[Array, " Y"], q: Float[Array, " Y"]) -> Float[Array, ""]:
    """KL(Q || M) - KL(P || M), M = (P + Q)/2, as E_M h(s): what cancels is of order s^3, as the term is."""
    return ((p + q) / 2 * h(tilt(p, q))).sum()


def replies_that_occur(outputs: Outputs) -> Float[Array, ""]:
    """N, the size of the alphabet of replies that have probability under any law."""
    return (jnp.stack(outputs).max(0) > 0).sum().astype(outputs.p_theta.dtype)


def conditional_entropies(of: Quantities) -> tuple[Float[Array, "U C D"], Float[Array, "U C D"]]:
    """h_theta(x) = H(P_theta(.|x)) and h_golden(x) = H(Q_{Y|x}); 0 at contexts of probability 0."""
    return jnp.where(of.m > 0, entropy(of.theta), 0.0), jnp.where(of.m > 0, entropy(of.golden), 0.0)
