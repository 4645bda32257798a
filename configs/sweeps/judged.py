"""A judge beside R-EMI: several policies evaluated, each judged by a point of its own, and how the two agree over all of them.

    python -m experiments.sweep --config=configs/sweeps/judged.py

Golden replies made worse by known amounts, SmolLM2 as it is and with the adapter of the package, and control policies, on
IDTest and a category of the user and of the character shift; the judge is SmolLM2, too. One behind an address:
--config.judge.model=endpoint:NAME --config.judge.endpoints=FILE.json (docs/endpoints.md). Points of one endpoint that run side
by side each ask with its concurrency, and each has its own cap. In shards: --config.only="('judge/*',)" and then, merged, this.
"""

from ml_collections import ConfigDict

from configs import judge
from configs.sweeps import quickstart
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output

COMMAND = "python -m experiments.sweep --config=configs/sweeps/judged.py"
METRICS = ("R-EMI", "novel R-EMI", "identified", "novel identified")
MEANS = (
    *(Selector(metric, f"agreement.means.{{system}}.{metric}") for metric in METRICS),
    Selector("judge: *", "judge.systems.{system}.*", meaning="mean rating of replies of all categories, by *"),
)
SYSTEMS = (
    "Metrics are means over categories, their intervals too; the R-EMI of golden replies is 0 by definition. "
    "Ratings have intervals over lineages.",
)
AGREEMENT = (Selector("*", "agreement.metrics.*.{metric}.spearman", meaning="Spearman's correlation with mean ratings by *"),)


def get_config() -> ConfigDict:
    config = quickstart.get_config()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/judged"
    config.output = "runs/judged/index.json"  # what is done, and every number
    config.page = "runs/judged/page.md"
    config.rungs = ("misplaced 50%", "misplaced 100%", "deleted 50%", "half_golden_parrot")
    config.controls = ("golden", "constant", "parrot")  # control policies of the first evaluation, judged with it
    config.evaluate.benchmark.categories = ("IDTest", "german", "Literature")

    config.judge = judge.get_config()
    config.judge.pairwise = False  # a point has the replies of one policy
    config.judge.max_row = 4096
    return config


def sweep(config: ConfigDict) -> Sweep:
    """Points of the quickstart sweep; one judges each policy; the last one holds both against each other."""
    made = quickstart.sweep(config)
    evaluations = {line.label: line.runs[0]["evaluate"] for line in made.layouts[0].lines}
    judged = {}
    for label, evaluated in evaluations.items():
        controls = config.controls if not judged else ()
        judged[label] = judging(config, evaluated, controls)
    agreement = Point(
        "agreement",
        "agreement",
        {
            "runs": {name_of(evaluated): output(evaluated, "") for evaluated in evaluations.values()},
            "judged": {name_of(point.name): output(point.name, "") for point in judged.values()},
            "controls": tuple(config.controls), "level": config.judge.level, "seed": config.judge.seed,
        },
        (*evaluations.values(), *(point.name for point in judged.values())),
    )  # fmt: skip
    first, *_ = evaluations
    judges = {name_of(evaluated): (label, judged[label].name) for label, evaluated in evaluations.items()}
    judges |= {control: (f"{control}, a control", judged[first].name) for control in config.controls}
    lines = [
        Line(label, [{"agreement": agreement.name, "judge": judge_point}], {"system": system})
        for system, (label, judge_point) in judges.items()
    ]
    metrics = [Line(metric, [{"agreement": agreement.name}], {"metric": metric}) for metric in METRICS]
    return Sweep(
        "A judge beside R-EMI",
        COMMAND,
        [*made.points, *judged.values(), agreement],
        [
            Layout("Systems", "system", lines, MEANS, notes=SYSTEMS),
            Layout("Agreement over {agreement.systems} systems and their categories", "metric", metrics, AGREEMENT),
        ],
    )


def judging(config: ConfigDict, evaluated: str, controls: tuple[str, ...]) -> Point:
    settings = config.judge.to_dict() | {"runs": {name_of(evaluated): output(evaluated, "")}, "controls": tuple(controls)}
    return Point(f"judge/{name_of(evaluated)}", "judge", settings, (evaluated,))


def name_of(point: str) -> str:
    """What a run is called by whoever reads its folder."""
    return point.rpartition("/")[2]
