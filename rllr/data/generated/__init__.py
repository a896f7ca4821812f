"""Generated stand-ins for the eight tasks: same keys, shapes, labels and metrics as the real ones.

A grammar over a hundred-odd words writes each input; its hidden structure (which label's cue words
are in the majority, whether two texts have one subject) determines the label. Every input comes
with one short rationale for each label of the task, right or wrong: all use the same templates,
drawn independently of the label, and quote words of the input alone, so that a rationale does not
give itself away. Labels are balanced in every split; training labels carry noise, with a rationale
that supports the noisy label. No text occurs twice in a task.
"""

from rllr.data.generated.draft import Label
from rllr.data.generated.tasks import (
    GRAMMARS,
    GeneratedTask,
    clean_label,
    generate_task,
    label_text,
)

__all__ = ["GRAMMARS", "GeneratedTask", "Label", "clean_label", "generate_task", "label_text"]
