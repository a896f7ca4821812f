"""The report's only script: a click on a heading sorts its table; without it all is there to read.

Rows are sorted within their group (the methods of one model), as only those can be compared;
groups themselves move when the first column, which names them, is sorted by, or when each has one
row. Dashes stay last either way. A third click restores the order of the table.
"""

SORTING = r"""
"use strict";
const TURN = { none: "first", first: "second", second: "none" };

function keyOf(cell, numeric) {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("sup").forEach((mark) => mark.remove());
  const text = copy.textContent.trim().replace(/\u2212/g, "-");
  if (!numeric) return text;
  const found = text.match(/^[[(<\u2265\u2264~]*\s*([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)/i);
  return found ? Number(found[1].replaceAll(",", "")) : null;
}

function sorted(items, cellOf, numeric, sign) {
  const keyed = items.map((item) => [keyOf(cellOf(item), numeric), item]);
  const missing = (key) => key === null || key === "" || key === "\u2013";
  keyed.sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  });
  return keyed.map(([, item]) => item);
}

function hideRepeats(group) {
  let before = null;
  for (const row of group.rows) {
    const name = row.cells[0].textContent;
    row.cells[0].classList.toggle("repeat", name === before);
    before = name;
  }
}

function arrange(table, original, index, numeric, sign) {
  const groups = original.map(([group]) => group);
  for (const [group, rows] of original) {
    group.append(...(sign ? sorted(rows, (row) => row.cells[index], numeric, sign) : rows));
    hideRepeats(group);
  }
  const single = groups.every((group) => group.rows.length === 1);
  const moves = sign && (index === 0 || single);
  const cellOf = (group) => group.rows[0].cells[index];
  table.append(...(moves ? sorted(groups, cellOf, numeric, sign) : groups));
}

function prepare(table) {
  const original = [...table.tBodies].map((group) => [group, [...group.rows]]);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const numeric = head.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.dataset.turn = "none";
    button.addEventListener("click", () => {
      const turn = TURN[head.dataset.turn];
      heads.forEach((other) => {
        other.dataset.turn = "none";
        other.removeAttribute("aria-sort");
      });
      head.dataset.turn = turn;
      // Numbers fall at first, so that the best comes first; names rise.
      const sign = turn === "none" ? 0 : (turn === "first") === numeric ? -1 : 1;
      if (sign) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      arrange(table, original, index, numeric, sign);
    });
  });
}

document.querySelectorAll("table.sortable").forEach(prepare);
"""
