from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from synthetic_run import SyntheticRun, class_row, score_row

from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.collect import load_run
from rllr.reporting.statistics.hypothesis import holm
from rllr.reporting.tables.comparisons import OVERALL, compare, compared
from rllr.reporting.tables.deltas import delta_table

RANDOM = np.random.default_rng(17)
BOTH = ("llama", "bloom")


def analysed(run: SyntheticRun) -> Analysis:
    return analyse(load_run(run.folder))


def answers(share: float, n: int = 60) -> list[dict[str, Any]]:
    return [class_row(i, bool(right)) for i, right in enumerate(RANDOM.random(n) < share)]


def scored(noise: float, n: int = 60) -> list[dict[str, Any]]:
    gold = np.linspace(0, 5, n)
    return [score_row(i, float(g), float(g + RANDOM.normal(0, noise))) for i, g in enumerate(gold)]


@pytest.fixture
def seeded(run: SyntheticRun) -> SyntheticRun:
    """Both models and tasks, sft and rllr, three seeds."""
    run.grid(seeds=[0, 1, 2])
    for model in BOTH:
        for seed in (0, 1, 2):
            for method, share, noise in (("sft", 0.6, 2.0), ("rllr", 0.8, 1.0)):
                run.cell(model, "sst2", method, answers(share), seed=seed)
                run.cell(model, "stsb", method, scored(noise), seed=seed)
    return run


def test_one_seeds_cells_are_tested_by_their_answers(run: SyntheticRun) -> None:
    run.grid()
    for model, right in (("llama", 9), ("bloom", 4)):
        run.cell(model, "sst2", "sft", [class_row(i, i < 3) for i in range(10)])
        run.cell(model, "sst2", "rllr", [class_row(i, i < right) for i in range(10)])
    found = compare(analysed(run), "sft")
    counts = {one.key.model: (one.only_mine, one.only_theirs) for one in found.runs}
    assert counts == {"llama": (6, 0), "bloom": (1, 0)}
    p = stats.binomtest(6, 6).pvalue
    test = found.tests[("llama",), "sst2"]
    assert (test.name, test.p, test.corrected) == ("McNemar exact", p, pytest.approx(2 * p))
    assert found.tests[BOTH, OVERALL].name == "bootstrap"


def test_a_family_is_one_comparison_at_one_level(seeded: SyntheticRun) -> None:
    found = compare(analysed(seeded), "sft")
    families = {
        "overall": [(BOTH, OVERALL)],
        "model": [((model,), OVERALL) for model in BOTH],
        "task": [(BOTH, task) for task in ("sst2", "stsb")],
        "cell": [((model,), task) for model in BOTH for task in ("sst2", "stsb")],
    }
    assert sorted(found.tests) == sorted(place for family in families.values() for place in family)
    for family in families.values():
        corrected = holm({place: found.tests[place].p for place in family})
        assert {place: found.tests[place].corrected for place in family} == corrected
    runs = holm({one.key: one.test.p for one in found.runs})
    assert len(runs) == 2 * 2 * 3
    assert {one.key: one.test.corrected for one in found.runs} == runs


def test_several_seeds_are_tested_by_t_and_each_run_by_its_answers(seeded: SyntheticRun) -> None:
    found = compare(analysed(seeded), "sft")
    for place, test in found.tests.items():
        estimate = found.estimates[place]
        assert estimate is not None and estimate.interval is not None
        assert (test.name, test.p) == ("t", estimate.interval.p)
        assert (test.p < 0.05) == (estimate.interval.low > 0 or estimate.interval.high < 0)
    assert {one.test.name for one in found.runs} == {"McNemar exact", "permutation"}
    assert {one.key.seed for one in found.runs} == {0, 1, 2}


def test_the_csv_has_every_level_and_each_seed(seeded: SyntheticRun) -> None:
    table = delta_table(analysed(seeded))
    records = [record for record in table.records() if record["minus"] == "sft"]
    levels = [record["level"] for record in records]
    assert {level: levels.count(level) for level in levels} == {
        "overall": 1,
        "model": 2,
        "task": 2,
        "cell": 4,
        "run": 12,
    }
    run = next(r for r in records if r["level"] == "run" and r["task"] == "sst2")
    difference = 100 * (int(run["only_method_right"]) - int(run["only_minus_right"])) / 60
    assert run["points"] == pytest.approx(difference, abs=1e-4)


def test_a_star_is_a_corrected_p_below_five_percent(seeded: SyntheticRun) -> None:
    analysis = analysed(seeded)
    table, found = delta_table(analysis), compare(analysis, "sft")
    overall = {row[1].text: row[-3].text for row in table.groups[0]}
    assert ("*" in overall["All models"]) == (found.tests[BOTH, OVERALL].corrected < 0.05)
    # The two methods of this run differ by far, and no seed of it shows otherwise.
    assert "*" in overall["All models"]
    same = replaced(seeded)
    assert "*" not in {row[1].text: row[-3].text for row in delta_table(same).groups[0]}["Llama"]


def replaced(run: SyntheticRun) -> Analysis:
    """Llama's rllr answers as its sft does."""
    for seed in (0, 1, 2):
        for task in ("sst2", "stsb"):
            rows = [class_row(i, i % 3 > 0) for i in range(60)] if task == "sst2" else scored(1.0)
            for method in ("sft", "rllr"):
                run.cell("llama", task, method, rows, seed=seed)
    return analysed(run)


def test_one_of_three_seeds_gives_no_interval(seeded: SyntheticRun) -> None:
    for seed in (1, 2):
        for name in ("metrics.json", "predictions.jsonl"):
            (seeded.folder / f"cells/llama/sst2/rllr/seed{seed}" / name).unlink()
    found = compare(analysed(seeded), "sft")
    one = found.estimates[("llama",), "sst2"]
    assert one is not None and (len(one.covered), one.expected, one.interval) == (1, 3, None)
    assert (("llama",), "sst2") not in found.tests
    assert len(found.runs) == 2 * 2 * 3 - 2


def test_the_papers_gain_is_held_against_the_interval(run: SyntheticRun) -> None:
    run.grid(paper=True, tasks=[{"key": "sst2", "name": "SST-2", "metric": "accuracy"}])
    for model in BOTH:
        run.cell(model, "sst2", "sft", [class_row(i, True) for i in range(50)])
        run.cell(model, "sst2", "rllr", [class_row(i, True) for i in range(50)])
    said = "+1.54 points over SFT (this run's interval"
    assert f"{said} does not contain it)" in delta_table(analysed(run)).caption
    for model in BOTH:
        run.cell(model, "sst2", "sft", [class_row(i, i > 0) for i in range(50)])
    assert f"{said} contains it)" in delta_table(analysed(run)).caption
    run.grid(paper=True)
    assert "over SFT (this run is not complete)" in delta_table(analysed(run)).caption
    run.grid(paper=False)
    assert "1.54" not in delta_table(analysed(run)).caption


def test_nothing_to_compare_is_said(run: SyntheticRun) -> None:
    run.grid(methods=[{"key": "sft", "name": "SFT"}])
    run.accuracy("llama", "sft", 5)
    analysis = analysed(run)
    assert compared(analysis) == []
    assert not delta_table(analysis).records()
    assert "no RLLR" in delta_table(analysis).caption
