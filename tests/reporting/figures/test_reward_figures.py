from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import SyntheticRun, sampled_rows

from rllr.reporting.figures.plotting import look
from rllr.reporting.figures.rewards import calibration_figure, rewards_figure
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.collect import load_run


@pytest.fixture
def scored(small_run: SyntheticRun) -> Analysis:
    """Two reward models of llama; the second follows the label. Of bloom, one without responses."""
    random = np.random.default_rng(0)
    for stage, gap in (("rlhf_rm", 0.0), ("rllr_rm", 3.0)):
        rewards = {
            str(prompt): [
                (float(random.normal() + gap * right), bool(right)) for right in (0, 0, 1, 1)
            ]
            for prompt in range(50)
        }
        small_run.sampled("llama", stage, sampled_rows("sst2", rewards))
    small_run.sampled("bloom", "rllr_rm", [])
    return analyse(load_run(small_run.folder))


def test_histograms_are_shares_of_the_right_and_of_the_wrong_responses(scored: Analysis) -> None:
    with look():
        figure = rewards_figure(scored)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["rlhf_rm (rationale-sensitive pairs)", "rllr_rm (label-sensitive pairs)"]
    for axes in figure.axes:
        assert axes.texts[0].get_text() == "right: n = 100\nwrong: n = 100"
        tops = [patch.get_path().vertices[:, 1].max() for patch in axes.patches]
        filled = [patch.get_fill() for patch in axes.patches]
        assert filled == [True, False]
        assert all(4 < top <= 100 for top in tops)


def test_calibration_rises_where_the_reward_follows_the_label(scored: Analysis) -> None:
    with look():
        figure = calibration_figure(scored)
    (axes,) = figure.axes
    lines = {
        line.get_marker(): line.get_ydata() for line in axes.lines if len(line.get_xdata()) > 2
    }
    assert np.ptp(lines["o"]) == 100 and lines["o"][0] == 0  # rllr_rm looks like rllr
    assert np.ptp(lines["^"]) < 80
    assert len(lines["o"]) == 10
    reference = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in reference] == [50.0, 50.0]
