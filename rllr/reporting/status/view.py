"""A run's state in the terminal: the grid, the stages, what failed, and how to go on.

States are words, and symbols where several seeds share a cell; colours only repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from rllr.config.load import BASELINE
from rllr.expected.stage import LOGS
from rllr.plain import plain
from rllr.reporting.status.advice import advice
from rllr.reporting.status.cells import Status
from rllr.reporting.status.signs import stamp
from rllr.reporting.status.state import STATES, Finding, State, count

STYLES: dict[State, str] = {
    "done": "green",
    "running": "cyan",
    "failed": "bold red",
    "stale": "yellow",
    "missing": "dim",
}
SYMBOLS: dict[State, str] = {
    "done": "\N{CHECK MARK}",
    "running": "\N{BLACK RIGHT-POINTING TRIANGLE}",
    "failed": "\N{BALLOT X}",
    "stale": "~",
    "missing": "\N{MIDDLE DOT}",
}
# For terminals that have no other characters.
PLAIN: dict[State, str] = {
    "done": "v",
    "running": ">",
    "failed": "x",
    "stale": "~",
    "missing": ".",
}
LONGEST = max(map(len, STATES))
# Columns of several seeds: `3/5` and a symbol.
LEAST = 5
KINDS = (*LOGS, "score", "report")
TITLES: dict[State, str] = {
    "running": "Running",
    "missing": "Gone, with what rests on it",
    "stale": "Stale, with what rests on it",
    "failed": "Failed, the last first",
}
# A cell of several seeds is in the state that needs attention most.
WORST: tuple[State, ...] = ("failed", "running", "stale", "missing", "done")
# Failures, stale stages and running jobs that are told one by one.
SHOWN = 5


class View:
    """Prints a run's state."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.symbols = SYMBOLS if console.encoding.lower().startswith("utf") else PLAIN

    def show(self, status: Status) -> None:
        """The whole of it, what matters most last."""
        place = status.place
        self._line(f"{place.run}: {len(status.cells)} cells, held against {place.source}", "bold")
        if place.copied:
            self._line("It lies elsewhere than its configuration says: base models are not checked")
        self._grid(status)
        self._stages(status)
        for state, title in TITLES.items():
            self._told(status, state, title)
        self._line("")
        for line in advice(status):
            self._line(line)

    def _grid(self, status: Status) -> None:
        tasks = status.place.project.test_tasks
        width = max(len(cell[2]) for cell in status.cells) + 3
        words = width + sum(max(len(task), LONGEST) + 1 for task in tasks) <= self.console.width + 1
        for model in [BASELINE, *status.place.project.config.models]:
            table = _table(["", *tasks], least=LONGEST if words else LEAST)
            table.columns[0].min_width = width - 1
            for method, cells in _rows(status, model).items():
                marked = [self._cell(cells[task], words) for task in tasks]
                table.add_row(Text(f"  {method}"), *marked)
            self._line("")
            self._line("baseline" if model == BASELINE else model, "bold")
            self._table(table, width + sum(max(len(task), LEAST) + 1 for task in tasks))
        self._line("")
        counts = count(status.cells.values())
        self._line("   ".join(f"{self.symbols[one]} {one} {counts[one]}" for one in STATES))

    def _cell(self, seeds: Sequence[Finding], words: bool) -> Text:
        """One seed's state; of several how many are done, and the state that matters most."""
        state = next(one for one in WORST if any(seed.state == one for seed in seeds))
        shown = self.symbols[state]
        if len(seeds) > 1:
            shown = f"{count(seeds)['done']}/{len(seeds)} {shown}"
        return Text(state if words and len(seeds) == 1 else shown, style=STYLES[state])

    def _stages(self, status: Status) -> None:
        table = _table(["stage", *STATES, "of"], numbers=True)
        kinds: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
        for finding in status.everything:
            kinds[finding.kind].append(finding)
        for kind, found in kinds.items():
            counts = count(found)
            numbers = [
                Text(str(counts[s]), style=STYLES[s] if counts[s] else "dim") for s in STATES
            ]
            if found:
                table.add_row(_words(kind), *numbers, str(len(found)))
        self._line("")
        self._table(table, max(map(len, KINDS)) + (len(STATES) + 1) * (LONGEST + 1))

    def _told(self, status: Status, state: State, title: str) -> None:
        """What is in a state by its own doing, the last first; one entry for each reason."""
        found = [one for one in status.everything if one.state == state and one.root and one.why]
        by_reason: dict[tuple[str, str], list[Finding]] = {}
        for one in sorted(found, key=lambda finding: -finding.when):
            by_reason.setdefault((one.kind, one.why), []).append(one)
        if found:
            self._line("")
            self._line(title, STYLES[state])
        for same in list(by_reason.values())[:SHOWN]:
            self._one(same)
        if len(by_reason) > SHOWN:
            self._line(f"  and {len(by_reason) - SHOWN} more (all of them: --json)")

    def _one(self, same: Sequence[Finding]) -> None:
        first = same[0]
        more = f" and {len(same) - 1} more" if same[1:] else ""
        when = f", {stamp(first.when)}" if first.when else ""
        self._line(f"  {_words(first.kind)} {first.name}{more}{when}: {first.why}")
        if first.log is not None and first.state in ("failed", "running"):
            self._line(f"    log: {first.log}{'' if first.log.exists() else ' (not there)'}")

    def _table(self, table: Table, needed: int) -> None:
        """A narrower terminal wraps lines, but no column is lost."""
        if self.console.width < needed:
            table.width = needed
        self.console.print(table, crop=False)

    def _line(self, text: str, style: str = "") -> None:
        """A line; in a pipe it is not broken, so that programs find a path whole."""
        wide = not self.console.is_terminal
        self.console.print(Text(plain(text), style=style), soft_wrap=wide)


def _rows(status: Status, model: str) -> dict[str, Mapping[str, list[Finding]]]:
    """Method -> task -> findings of its seeds."""
    rows: dict[str, dict[str, list[Finding]]] = {}
    for (name, task, method, _), finding in status.cells.items():
        if name == model:
            rows.setdefault(method, {}).setdefault(task, []).append(finding)
    return dict(rows)


def _table(columns: Sequence[str], *, numbers: bool = False, least: int = 0) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for index, name in enumerate(columns):
        side: JustifyMethod = "right" if numbers and index else "left"
        table.add_column(Text(name), justify=side, no_wrap=True, min_width=least)
    return table


def _words(kind: str) -> str:
    return kind.replace("_", " ")
