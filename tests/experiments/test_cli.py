"""What every script does with its command line."""

from scripts import ROOT


def test_slips_come_all_at_once_and_configs_that_cannot_be_loaded_in_one_line(run, tmp_path):
    flag = f"--config={ROOT}/configs/score.py"
    assert run("score", flag, "--config.max_rwo=1", "--config.max_row=x").error == (
        "error: --config.max_rwo: no such setting: did you mean --config.max_row (a whole number)?; "
        "--config.max_row=x: must be a whole number, as 2048 is"
    )
    flags = (f"--config={ROOT}/configs/quickstart.py", "--config.horizon=ten", "--config.seed=ten")
    assert run("evaluate", *flags).error == (
        "error: --config.horizon=ten: must be a whole number; --config.seed=ten: must be a whole number, as 0 is"
    )
    (tmp_path / "broken.py").write_text("import nothing_here\n")
    assert run("score", "--config=broken.py").error == (
        "error: --config: cannot be loaded (ModuleNotFoundError: No module named 'nothing_here'): name a file of configs/, or "
        "mend yours"
    )
    said = "error: --config: has no setting 'worlds': name a config of this script, see configs/"
    assert run("bounds", flag).error == said
