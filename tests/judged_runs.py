"""Finished evaluations of three categories of the embedded benchmark, three records each, that never ran: to be judged."""

import fake_run
import numpy as np
from evaluated import saved

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.information.estimates import Settings

NAMES = ("IDTest", "german", "spanish")
BENCHMARK = read_benchmark("package:rpgbench_compact/eight", categories=NAMES)


def results_of():
    results = fake_run.results(NAMES, with_self=False, settings=Settings(bootstrap=0))
    results["config"]["benchmark"] = {"source": "package:rpgbench_compact/eight", "categories": list(NAMES), "records": 3}
    results["fingerprints"]["benchmark"] = BENCHMARK.fingerprint
    return results


def samples_of(said):
    """One reply to all."""
    return [
        {"record": record.id, "category": category, "reply": said, "reply_finished": True}
        for category, members in BENCHMARK.test.items()
        for record in members[:3]
    ]


def saved_run(folder, said, r_emi=None):
    """The folder of a run whose every reply is `said`, and whose R-EMI in IDTest is `r_emi`."""
    results = results_of()
    if r_emi is not None:
        results["estimates"]["categories"]["IDTest"]["reasoned"]["emi"]["club"]["token_rate"]["value"] = r_emi
    return saved(folder, Evaluation(results, {"IDTest/fold": np.array([0, 1, 0])}, samples_of(said), {}))
