"""A word-label lexicon counted on training data: which labels does a word speak for?

For a pair of texts a word counts as two features: one where it stands in both texts, one where it
stands in one of them only. Scores are pointwise mutual information with additive smoothing,
log P(label | feature) - log P(label) (Church and Hanks 1990), labels of score tasks in whole steps.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rllr.config.schema import TaskConfig
from rllr.tasks.labels import Label, label_bin

WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
SMOOTHING = 1.0


def words_of(text: str) -> list[str]:
    """Lower-case words, in order."""
    return [match.group().casefold() for match in WORD.finditer(text)]


def features(task: TaskConfig, example: Mapping[str, Any]) -> dict[str, str]:
    """The input's words, each with the feature that it is counted as."""
    texts = [set(words_of(str(example[field]))) for field in task.fields]
    if len(texts) == 1:
        return {word: word for word in sorted(texts[0])}
    both = texts[0] & texts[1]
    union = sorted(texts[0] | texts[1])
    return {word: f"{'both' if word in both else 'one'}:{word}" for word in union}


@dataclass(frozen=True)
class Lexicon:
    """Counts of features and labels over training examples."""

    task: TaskConfig
    joint: Mapping[tuple[str, str], int]
    feature_counts: Mapping[str, int]
    label_counts: Mapping[str, int]

    @classmethod
    def count(cls, task: TaskConfig, examples: Iterable[Mapping[str, Any]]) -> Lexicon:
        """Count labelled examples; a word counts once per example."""
        joint: Counter[tuple[str, str]] = Counter()
        totals: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        for example in examples:
            label = label_bin(task, example["label"])
            labels[label] += 1
            for feature in features(task, example).values():
                joint[feature, label] += 1
                totals[feature] += 1
        return cls(task, joint, totals, labels)

    @property
    def vocabulary(self) -> set[str]:
        """Every word seen in training inputs."""
        return {feature.rpartition(":")[2] for feature in self.feature_counts}

    def score(self, feature: str, label: Label) -> float:
        """Smoothed log P(label | feature) - log P(label), in nats; 0 for an unseen feature."""
        name = label_bin(self.task, label)
        total = sum(self.label_counts.values())
        prior = (self.label_counts.get(name, 0) + SMOOTHING) / (
            total + SMOOTHING * max(1, len(self.label_counts))
        )
        seen = self.joint.get((feature, name), 0) + SMOOTHING * prior
        return math.log(seen / (self.feature_counts.get(feature, 0) + SMOOTHING)) - math.log(prior)
