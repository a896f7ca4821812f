"""The paper's main experiment, and what it reports (arXiv 2405.19763).

Values of single cells are not repeated here; only the two headline differences are.
"""

from __future__ import annotations

from rllr.config.load import Project
from rllr.config.schema import HubSource

REPOS = {
    "meta-llama/Llama-2-7b-chat-hf",
    "THUDM/chatglm3-6b",
    "mistralai/Mistral-7B-Instruct-v0.2",
    "baichuan-inc/Baichuan2-7B-Chat",
    "bigscience/bloom-7b1",
}
TASKS = {"mr", "appreviews", "sst2", "mrpc", "qqp", "stsb", "mnli", "agnews"}
# RLLR minus a method, in points, over those models and tasks. Which of the two SFT variants the
# first is about is not known.
GAINS = {"sft": 1.54, "sft_label": 1.54, "rlhf": 0.69}


def is_papers(project: Project) -> bool:
    """Whether a run's models and data are the paper's, so that its gains can be compared."""
    sources = [project.models[model].source for model in project.config.models]
    repos = {source.repo for source in sources if isinstance(source, HubSource)}
    published = all(project.data(task).source in ("hub", "release") for task in project.data_tasks)
    same = repos == REPOS and len(sources) == len(REPOS) and set(project.config.tasks) == TASKS
    return same and published
