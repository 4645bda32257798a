"""The page of a judge: every number of it from results made by hand."""

from remid_jax.reporting import judge_page


def number(value, unit="share"):
    bounds = {"low": value - 0.1, "high": value + 0.1, "validated": True, "clusters": 16, "level": 0.95, "method": "jackknife",
              "bootstrap": None}  # fmt: skip
    return {"value": value, "unit": unit, "estimator": "mean", "n": 16, "interval": bounds}


def found():
    measures = {"spearman": "rank_correlation", "kendall": "rank_correlation", "pairs": "share", "systems": "rank_correlation"}
    return {
        "judge": {"source": "m", "dtype": "float32"},
        "criteria": {"wit": "is funny"},
        "counts": {"replies": 4, "contexts": 2, "pairs": 2, "unread": 3},
        "ratings": {"a": {"IDTest": {"wit": number(7.5, "score")}, "german": {"wit": number(2.0, "score")}}},
        "wins": {"wit": {"a": number(0.5), "b": number(0.25)}},
        "itself": {"wit": {"wordings": number(0.5, "rank_correlation"), "position_bias": number(0.31, "points")}},
        "values": {"R-EMI": {"a": {"IDTest": number(-0.25, "token_rate")}, "b": {"german": number(0.5, "token_rate")}}},
        "metrics": {"wit": {"R-EMI": {name: number(0.25, unit) for name, unit in measures.items()}}},
    }


def test_tables_hold_the_numbers():
    page = judge_page.page(found(), "runs/a")
    lines = page.splitlines()
    said = page.replace("\n", " ")
    assert "`python -m experiments.judge` on runs/a: `m` in float32 rates 4 replies to 2 contexts" in said
    assert "3 answers could not be read" in said
    assert "| wit | +0.50 (+0.40, +0.60) | +31% (+21%, +41%) |" in lines
    assert "| a, IDTest | 7.50 (7.40, 7.60) |" in lines
    assert "| b | 25% (15%, 35%) |" in lines
    assert "| a, IDTest | -0.2500 (-0.3500, -0.1500) |" in lines
    assert "| b, german | +0.5000 (+0.4000, +0.6000) |" in lines
    assert "| R-EMI | +0.25 (+0.15, +0.35) | +0.25 (+0.15, +0.35) | 25% (15%, 35%) | +0.25 (+0.15, +0.35) |" in lines
    assert "## What agrees with its wit" in lines
    assert judge_page.sentences(found()) == ["wit: wordings +0.50, position bias +31%"]


def test_a_file_without_comparisons_has_ratings_alone():
    alone = found() | {"wins": {"wit": {}}, "values": {}, "metrics": {}}
    alone["counts"] = {"replies": 4, "contexts": 2, "pairs": 0, "unread": 0}
    alone["ratings"] = {"a": {"all": {"wit": number(7.5, "score")}}}
    page = judge_page.page(alone, "r.jsonl")
    assert "| a | 7.50 (7.40, 7.60) |" in page.splitlines()
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## Does it agree with itself?", "## Ratings"]
    assert "could not be read" not in page
