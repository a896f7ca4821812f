from __future__ import annotations

import csv
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from synthetic_run import (
    TASKS,
    SyntheticRun,
    class_row,
    reward_summary,
    rl_summary,
    score_row,
    sft_summary,
)

from rllr.errors import RllrError
from rllr.reporting.names import TABLE_FORMATS, TABLES
from rllr.reporting.results.collect import load_run
from rllr.reporting.tables.build import build_tables, write_tables
from rllr.reporting.tables.cells import MINUS
from rllr.reporting.tables.notes import MARKS
from rllr.reporting.tables.table import MISSING, Table, TableCell


def tables(run: SyntheticRun) -> dict[str, Table]:
    return build_tables(load_run(run.folder))


def lines(table: Table) -> dict[tuple[str, str], list[str]]:
    """(first label, second label) -> shown texts of the other columns, signs in ASCII."""
    return {
        (plain(row[0]), plain(row[1])): [plain(cell) for cell in row[2:]]
        for group in table.groups
        for row in group
    }


def plain(cell: TableCell) -> str:
    return cell.text.replace(MINUS, "-").replace(MISSING, "--")


def standing(table: Table, column: int) -> dict[tuple[str, str], str]:
    return {
        (row[0].text, row[1].text): row[column].emphasis for group in table.groups for row in group
    }


def with_scores(run: SyntheticRun) -> None:
    """Add an stsb cell to each model and method of the small run."""
    for model in ("llama", "bloom"):
        for shift, method in enumerate(("sft_label", "sft", "rlhf", "rllr")):
            rows = [score_row(i, i % 6, (i * (shift + 1)) % 5) for i in range(12)]
            run.cell(model, "stsb", method, rows)


def test_headline_values_by_hand(small_run: SyntheticRun) -> None:
    with_scores(small_run)
    found = lines(tables(small_run)["headline"])
    gold = [i % 6 for i in range(12)]
    r = 100 * stats.pearsonr([(i * 4) % 5 for i in range(12)], gold)[0]
    shown = f"{r:.1f}"
    average = f"{(80 + r) / 2:.1f}"
    assert found["Llama", "RLLR"][:3] == ["80.0", shown, average]
    assert found["All models", "RLLR"][:3] == ["80.0", shown, average]
    assert [label for label in found if label[0] == "Llama"] == [
        ("Llama", "Zero-shot"),
        ("Llama", "SFT"),
        ("Llama", "RLHF"),
        ("Llama", "RLLR"),
    ]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (["sst2"], "Accuracy in points; unparseable responses count as wrong."),
        (["stsb"], "Pearson correlation in points; unparseable responses count as the middle"),
        (["sst2", "stsb"], "on STS-B); unparseable responses count as wrong (there as the middle"),
    ],
)
def test_the_caption_says_what_unread_responses_are_taken_for(
    tasks: list[str], said: str, small_run: SyntheticRun
) -> None:
    with_scores(small_run)
    grid = [entry for entry in TASKS if entry[0] in tasks]
    small_run.grid(tasks=[{"key": k, "name": n, "metric": metric} for k, n, metric in grid])
    assert said in tables(small_run)["main"].caption


def test_missing_cells_are_dashes_and_averages_say_what_they_cover(
    small_run: SyntheticRun,
) -> None:
    table = tables(small_run)["headline"]
    found = lines(table)
    assert found["Llama", "SFT"][:3] == ["60.0", "--", "60.0 (1/2)"]
    assert found["All models", "RLLR"][:3] == ["80.0", "--", "80.0 (2/4)"]
    assert any("8 of 16 cells" in note for note in table.notes)


def test_best_and_second_with_ties(small_run: SyntheticRun) -> None:
    headline = standing(tables(small_run)["headline"], 2)
    assert headline["Llama", "RLLR"] == "best"
    assert headline["Llama", "SFT"] == headline["Llama", "RLHF"] == "second"
    main = standing(tables(small_run)["main"], 2)
    assert main["Llama", "SFT (label only)"] == ""


def test_tied_best_share_and_shown_digits_decide(small_run: SyntheticRun) -> None:
    for method, correct in (("sft_label", 900), ("sft", 3000), ("rlhf", 3001), ("rllr", 2000)):
        small_run.accuracy("llama", method, correct, n=4000)
    found = standing(tables(small_run)["main"], 2)
    assert found["Llama", "SFT"] == found["Llama", "RLHF"] == "best"
    assert found["Llama", "RLLR"] == "second"
    assert found["Llama", "SFT (label only)"] == ""


def test_averages_that_cover_other_cells_are_not_ranked(small_run: SyntheticRun) -> None:
    small_run.cell("llama", "stsb", "sft", [score_row(i, i, i) for i in range(5)])
    found = standing(tables(small_run)["headline"], 4)
    assert {found["Llama", method] for method in ("SFT", "RLHF", "RLLR")} == {""}
    assert found["BLOOM", "RLLR"] == "best"


@pytest.mark.parametrize("name", ["headline", "main"])
def test_context_rows_are_shown_and_never_ranked(name: str, small_run: SyntheticRun) -> None:
    small_run.accuracy("llama", "zero_shot", 10)
    small_run.cell("_baseline", "sst2", "majority", [class_row(i, i % 2 == 0) for i in range(10)])
    found = tables(small_run)[name]
    assert lines(found)["Baseline", "Majority class"][:3] == ["50.0", "--", "50.0 (1/2)"]
    assert lines(found)["Llama", "Zero-shot"][0] == "100.0"
    assert standing(found, 2)["Llama", "Zero-shot"] == ""
    assert standing(found, 2)["Llama", "RLLR"] == "best"
    methods = {"Majority class", "Zero-shot", "SFT", "RLHF", "RLLR"}
    main = methods | {"SFT (label only)"}
    assert {label[1] for label in lines(found)} == (main if name == "main" else methods)


def test_further_test_sets_are_shown_and_not_averaged(small_run: SyntheticRun) -> None:
    before = tables(small_run)
    small_run.grid(context_tasks=[{"key": "sst2_mm", "name": "SST-2-mm", "metric": "accuracy"}])
    for method, correct in (("sft", 9), ("rlhf", 2), ("rllr", 4)):
        rows = [class_row(i, i < correct) for i in range(10)]
        small_run.cell("llama", "sst2_mm", method, rows)
    after = tables(small_run)
    assert after["headline"].columns[4:] == ("Average", "95 % CI", "SST-2-mm", "% unparsed")
    for method, shown in (("SFT", "90.0"), ("RLHF", "20.0"), ("RLLR", "40.0")):
        old = lines(before["headline"])["Llama", method]
        new = lines(after["headline"])["Llama", method]
        assert new[:4] == old[:4] and new[4] == shown
    assert standing(after["headline"], 6)["Llama", "SFT"] == "best"
    assert lines(after["delta"]) == lines(before["delta"])


def test_several_seeds_show_mean_and_spread(small_run: SyntheticRun) -> None:
    small_run.grid(seeds=[0, 1])
    for model in ("llama", "bloom"):
        for method in ("sft", "rllr"):
            small_run.accuracy(model, method, 9, seed=1)
    found = tables(small_run)
    sd = statistics.stdev([80, 90])
    assert lines(found["headline"])["Llama", "RLLR"][0] == f"85.0 ±{sd:.1f}"
    assert lines(found["headline"])["Llama", "RLHF"][0] == "60.0 (1/2)"
    assert "Mean over 2 seeds" in found["headline"].caption
    # Differences pair the seeds: 80 - 60 and 90 - 90.
    row = lines(found["delta"])["RLLR - SFT", "Llama"]
    assert row[0] == f"+10.0 ±{statistics.stdev([20, 0]):.1f}"
    assert lines(found["delta"])["RLLR - RLHF", "Llama"][0] == "+20.0 (1/2)"


def test_delta_by_hand(small_run: SyntheticRun) -> None:
    small_run.accuracy("bloom", "rllr", 5)
    found = lines(tables(small_run)["delta"])
    assert found["RLLR - SFT", "Llama"][0] == "+20.0"
    assert found["RLLR - SFT", "BLOOM"][0] == "-10.0"
    assert found["RLLR - SFT", "All models"][0] == "+5.0"
    assert found["RLLR - SFT (label only)", "BLOOM"][0] == "0.0"
    assert found["RLLR - SFT", "Llama"][1:3] == ["--", "+20.0 (1/2)"]


def test_delta_takes_only_cells_that_both_sides_have(small_run: SyntheticRun) -> None:
    shutil.rmtree(small_run.folder / "cells/bloom/sst2/sft")
    found = lines(tables(small_run)["delta"])
    assert found["RLLR - SFT", "BLOOM"][0] == "--"
    assert found["RLLR - SFT", "All models"][0] == "+20.0 (1/2)"
    assert found["RLLR - RLHF", "All models"][0] == "+20.0"


def test_delta_interval_is_the_paired_bootstrap_of_the_mean_over_models(
    run: SyntheticRun,
) -> None:
    random = np.random.default_rng(3)
    right = {}
    run.grid()
    for model in ("llama", "bloom"):
        for method in ("sft", "rllr"):
            right[model, method] = random.random(200) < (0.7 if method == "rllr" else 0.6)
            rows = [class_row(i, bool(ok)) for i, ok in enumerate(right[model, method])]
            run.cell(model, "sst2", method, rows)
    per_example = sum(
        right[model, "rllr"].astype(float) - right[model, "sft"] for model in ("llama", "bloom")
    )
    expected = stats.bootstrap(
        (per_example / 2,), np.mean, method="percentile", n_resamples=9999, rng=random
    ).confidence_interval
    text = lines(tables(run)["delta"])["RLLR - SFT", "All models"][-2]
    low, high = (float(part) for part in text.strip("[]").split(", "))
    assert (low, high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=0.8)


def test_no_interval_without_predictions(small_run: SyntheticRun) -> None:
    (small_run.folder / "cells/llama/sst2/sft/seed0/predictions.jsonl").unlink()
    found = lines(tables(small_run)["delta"])
    assert found["RLLR - SFT", "Llama"][-2:] == ["--", "--"]
    assert "--" not in found["RLLR - RLHF", "Llama"][-2:]


def test_a_table_says_why_an_interval_is_missing(small_run: SyntheticRun) -> None:
    reason = "1 of 8 cells have no usable predictions: what rests on them has no interval"
    assert not any("usable predictions" in note for note in tables(small_run)["main"].notes)
    (small_run.folder / "cells/llama/sst2/sft/seed0/predictions.jsonl").unlink()
    found = tables(small_run)
    for name in ("headline", "main", "delta", "scale"):
        assert any(note.startswith(reason) for note in found[name].notes), name


def test_context_rows_are_spoken_of_where_they_are(small_run: SyntheticRun) -> None:
    small_run.grid(seeds=[0, 1])
    found = tables(small_run)
    assert "Context rows have one seed" in found["main"].caption
    assert "Context rows" not in found["delta"].caption + found["scale"].caption


def test_paper_numbers_only_in_the_papers_experiment(small_run: SyntheticRun) -> None:
    assert "1.54" not in tables(small_run)["delta"].caption
    small_run.grid(paper=True)
    assert "+1.54" in tables(small_run)["delta"].caption


def test_flagged_cells_carry_letters_with_footnotes(small_run: SyntheticRun) -> None:
    small_run.cell("llama", "stsb", "rllr", [score_row(i, i, 2.0) for i in range(6)])
    small_run.summary("llama", "sft", sft_summary(1.0, 2.0))
    table = tables(small_run)["headline"]
    rows = {(row[0].text, row[1].text): row for group in table.groups for row in group}
    letters = {letter: text for letter, text in table.footnotes}
    # Both cells of the RLLR row rest on the failed SFT: its name takes the letter.
    sft_letter = next(letter for letter, text in letters.items() if "validation loss" in text)
    constant = next(letter for letter, text in letters.items() if "same value" in text)
    row = rows["Llama", "RLLR"]
    assert row[1].marks == (sft_letter,)
    assert (row[2].marks, row[3].marks, row[4].marks) == ((), (constant,), (constant,))
    assert rows["Llama", "SFT"][2].marks == (sft_letter,)
    assert rows["BLOOM", "RLLR"][2].marks == ()


def test_letters_are_explained_where_a_table_has_them(small_run: SyntheticRun) -> None:
    small_run.summary("llama", "rllr", rl_summary(["rllr_rm"], 0.0, 0.1))
    found = tables(small_run)
    explained = {name for name, one in found.items() if any("A letter" in n for n in one.notes)}
    assert explained == {name for name, one in found.items() if one.footnotes}
    assert explained == {"headline", "main", "delta", "health"}


def test_unparsed_share_beside_every_metric(small_run: SyntheticRun) -> None:
    rows = [class_row(i, True) for i in range(8)]
    rows += [class_row(i, True, prediction=None, parsed=False) for i in (8, 9)]
    small_run.cell("llama", "sst2", "rllr", rows)
    table = tables(small_run)["main"]
    assert lines(table)["Llama", "RLLR"][0] == "80.0"
    assert lines(table)["Llama", "RLLR"][-1] == "20.0"
    record = next(r for r in table.records() if (r["model"], r["method"]) == ("llama", "rllr"))
    assert (record["unparsed"], record["unparsed_percent"]) == (2, 20.0)


def test_reward_model_table(small_run: SyntheticRun) -> None:
    table = tables(small_run)["reward_models"]
    row = next(row for row in table.groups[0] if row[1].text == "rllr_rm")
    low, high = stats.binomtest(80, 100).proportion_ci(method="wilson")
    assert row[3].text == f"80.0 [{100 * low:.1f}, {100 * high:.1f}]"
    assert row[4].text.startswith("50.0 [")
    tasks = {record["task"] for record in row[3].records}
    assert tasks == {"all", "sst2"}


def test_missing_reward_models_show_and_a_weak_one_is_named_as_such(
    small_run: SyntheticRun,
) -> None:
    small_run.grid(seeds=[0, 1])
    small_run.summary("bloom", "rllr_rm", reward_summary("label_sensitive", 52))
    weak = json.dumps(reward_summary("label_sensitive", 56))
    small_run.write("trained/bloom/rllr_rm/mixture/seed1/summary.json", weak)
    table = tables(small_run)["reward_models"]
    found = {(row[0].text, row[1].text): row for group in table.groups for row in group}
    assert found["Llama", "rllr_rm"][3].text.endswith("] (1/2)")
    assert found["BLOOM", "rllr_rm"][3].text == "54.0 ±2.8"
    assert any(note.startswith("(2/3): 2 of 3 reward models") for note in table.notes)
    assert "(each seed's is in the CSV)" in table.caption
    assert table.footnotes == (
        ("a", "It is right on at most 55 % of held-out pairs of its own kind."),
    )


def test_units_without_a_reward_model_show(small_run: SyntheticRun) -> None:
    small_run.grid(scope="per_task")
    small_run.summary("llama", "rllr_rm", reward_summary("label_sensitive", 80), unit="sst2")
    [[row]] = tables(small_run)["reward_models"].groups
    assert row[3].text.endswith("] (1/2)")


def test_run_of_unknown_methods_and_no_trained_stage(run: SyntheticRun) -> None:
    run.accuracy("llama", "dpo", 7)
    found = tables(run)
    assert lines(found["main"])["llama", "dpo"][:2] == ["70.0", "70.0"]
    assert found["headline"].groups == found["delta"].groups == ()
    assert any("unchecked" in note for note in found["main"].notes)


def test_write_tables_from_one_cell(run: SyntheticRun, tmp_path: Path) -> None:
    run.accuracy("llama", "sft", 7)
    paths = write_tables(run.folder, tmp_path / "tables")
    assert {path.name for path in paths} == {f"{n}.{s}" for n in TABLES for s in TABLE_FORMATS}
    assert all(path.read_text() for path in paths if path.suffix != ".csv")


def test_write_tables_without_cells_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RllrError, match="no usable cell"):
        write_tables(tmp_path, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_warnings_go_to_stderr(
    small_run: SyntheticRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_run.write("cells/llama/sst2/sft/seed0/metrics.json", "{")
    write_tables(small_run.folder, tmp_path / "tables")
    assert "cells/llama/sst2/sft/seed0/metrics.json: left out" in capsys.readouterr().err


def test_csv_holds_every_number(small_run: SyntheticRun, tmp_path: Path) -> None:
    small_run.accuracy("llama", "rllr", 8, ci_low=0.55, ci_high=0.95, prompts_cut=3)
    write_tables(small_run.folder, tmp_path)
    rows = list(csv.DictReader((tmp_path / "main.csv").open()))
    found = {(row["model"], row["method"], row["task"]): row for row in rows}
    cell = found["llama", "rllr", "sst2"]
    assert cell["points"] == "80.0"
    assert (cell["ci_low_points"], cell["ci_high_points"]) == ("50.0", "100.0")
    assert (cell["seed"], cell["n"], cell["prompts_cut"]) == ("0", "10", "3")
    assert cell["macro_f1_points"] == "50.0"
    missing = found["llama", "rllr", "stsb"]
    assert (missing["points"], missing["cells"]) == ("", "0")
    delta = list(csv.DictReader((tmp_path / "delta.csv").open()))
    assert {row["minus"] for row in delta} == {"sft", "sft_label", "rlhf"}


def test_further_metrics_are_averaged_over_seeds_and_models(
    small_run: SyntheticRun, tmp_path: Path
) -> None:
    small_run.grid(seeds=[0, 1])
    small_run.accuracy("llama", "rllr", 8, extra={"macro_f1": 0.6, "f1": 0.5})
    small_run.accuracy("llama", "rllr", 8, extra={"macro_f1": 0.8}, seed=1)
    small_run.accuracy("bloom", "rllr", 8, extra={"macro_f1": 0.3})
    write_tables(small_run.folder, tmp_path)
    rows = list(csv.DictReader((tmp_path / "main.csv").open()))
    found = {
        (row["model"], row["seed"]): (row["macro_f1_points"], row["f1_points"])
        for row in rows
        if (row["method"], row["task"]) == ("rllr", "sst2")
    }
    assert found["llama", "mean"] == ("70.0", "")  # only one of the two has an F1
    assert found["llama", "0"] == ("60.0", "50.0") and found["llama", "1"] == ("80.0", "")
    assert found["all", "mean"] == ("50.0", "")


def test_a_cell_without_predictions_keeps_the_interval_of_its_metrics_file(
    small_run: SyntheticRun,
) -> None:
    small_run.accuracy("llama", "rllr", 8, ci_low=0.55, ci_high=0.95)
    (small_run.folder / "cells/llama/sst2/rllr/seed0/predictions.jsonl").unlink()
    rows = tables(small_run)["main"].records()
    cell = next(row for row in rows if (row["model"], row["method"]) == ("llama", "rllr"))
    assert (cell["ci_low_points"], cell["ci_high_points"]) == (55.0, 95.0)


def test_same_input_same_bytes(small_run: SyntheticRun, tmp_path: Path) -> None:
    with_scores(small_run)
    first = [path.read_bytes() for path in write_tables(small_run.folder, tmp_path / "a")]
    second = [path.read_bytes() for path in write_tables(small_run.folder, tmp_path / "b")]
    assert first == second


def test_the_caption_says_how_many_examples_scores_rest_on(small_run: SyntheticRun) -> None:
    assert " 10 test examples per task. " in tables(small_run)["headline"].caption
    with_scores(small_run)
    assert " Test examples: SST-2 10, STS-B 12. " in tables(small_run)["main"].caption


def test_letters_are_explained_only_where_there_are_some(small_run: SyntheticRun) -> None:
    small_run.accuracy("llama", "sft", 6, flags=["odd"])
    found = tables(small_run)
    explained = {name for name, one in found.items() if MARKS in one.notes}
    assert explained == {name for name, one in found.items() if one.footnotes}
    assert "headline" in explained and "reward_models" not in explained


def test_a_cell_that_is_all_right_has_an_interval_with_a_width(small_run: SyntheticRun) -> None:
    small_run.accuracy("llama", "rllr", 10)
    [row] = [
        row
        for row in tables(small_run)["main"].records()
        if (row["model"], row["method"], row["task"]) == ("llama", "rllr", "sst2")
    ]
    wilson = stats.binomtest(10, 10).proportion_ci(method="wilson")
    assert row["ci_low_points"] == pytest.approx(100 * wilson.low, abs=1e-4)
    assert row["ci_high_points"] == 100
