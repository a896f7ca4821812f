"""What a plan says of paid answers: requests and tokens of teacher and judge, at least.

Refused answers and ties are asked about again; how many there will be, nobody knows. Of test
responses those of the same text are not compared, so that there the number is the most.
"""

from __future__ import annotations

from rllr.config.asking import JudgeConfig, TeacherConfig
from rllr.config.load import Project
from rllr.plan_assumptions import PROMPT, RESPONSE
from rllr.plan_jobs import jobs
from rllr.plan_sizes import Sizes


def asked(project: Project) -> list[str]:
    """A line for each language model that the run asks."""
    found = []
    if project.config.teacher.asks:
        found.append(_line("teacher", project.config.teacher, teacher_requests(project)))
    if project.config.judge.asks:
        further = comparison_requests(project)
        found.append(_line("judge", project.config.judge, judge_requests(project), further))
    return found


def teacher_requests(project: Project) -> int:
    """One for each rationale that some job of the run needs."""
    tasks = {job.name for job in jobs(project) if job.rule == "rationales"}
    return sum(Sizes(project).rationales(task) for task in tasks)


def judge_requests(project: Project) -> int:
    """One for each comparison, and another for those asked in both orders."""
    units = [job.unit for job in jobs(project) if job.rule == "judge"]
    comparisons = sum(Sizes(project).comparisons(unit) for unit in units)
    return round(comparisons * (1 + project.config.judge.both_ways))


def comparison_requests(project: Project) -> int:
    """At most: two for each comparison of test responses, one for each order."""
    units = [job.unit for job in jobs(project) if job.rule == "judge_test"]
    return 2 * sum(Sizes(project).test_comparisons(unit) for unit in units)


def _line(who: str, model: TeacherConfig | JudgeConfig, least: int, further: int = 0) -> str:
    responses, requests = 2 if isinstance(model, JudgeConfig) else 0, least + further
    read = requests * (PROMPT + responses * RESPONSE["rationale"])
    written = requests * min(model.max_new_tokens, RESPONSE["rationale"])
    cost = (read * model.price_in + written * model.price_out) / 1e6
    priced = f", cost {cost:.2f}" if cost else ""
    tokens = f"{read / 1e6:.1f} million tokens read, {written / 1e6:.1f} million written"
    asked = f"{who} ({model.backend}, {model.model}): at least {least} requests, "
    asked += f"and at most {further} to compare test responses, " if further else ""
    asked += tokens + priced
    if model.max_requests is not None and requests > model.max_requests:
        asked += f"; it would stop at {who}.max_requests ({model.max_requests})"
    if model.max_tokens is not None and read + written > model.max_tokens:
        asked += f"; it would stop at {who}.max_tokens ({model.max_tokens})"
    return asked
