"""HTML that is escaped unless it was made here, so that no text from data or models can be markup.

Also the one style sheet of tables and report: everything inline, nothing fetched.
"""

from __future__ import annotations

from html import escape


class Html(str):
    """A string that is already HTML."""


Child = Html | str


def element(tag: str, *children: Child, **attributes: str) -> Html:
    """An element; plain strings among children and all attribute values are escaped.

    A trailing underscore in an attribute's name is dropped (`class_`); an underscore inside
    becomes a hyphen (`aria_label`); an empty value leaves the attribute out.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value
    )
    return Html(f"<{tag}{given}>{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """Children one after another, plain strings escaped."""
    return Html("".join(one if isinstance(one, Html) else escape(one) for one in children))


def page(title: str, *body: Child) -> Html:
    """A complete, self-contained HTML page in English."""
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<link rel="icon" href="data:,">'),
        element("title", title),
        element("style", Html(STYLE)),
    )
    html = element("html", head, element("body", element("main", *body)), lang="en")
    # A model may write half of a surrogate pair, which no file can hold as it is.
    written = html.encode("utf-8", "backslashreplace").decode()
    return Html(f"<!DOCTYPE html>\n{written}\n")


STYLE = """
:root { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --tint: #f6f8fa; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 77rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--accent); }
nav { font-size: .9rem; } nav a { margin-right: 1rem; white-space: nowrap; }
.soft, .notes, figcaption { color: var(--soft); font-size: .85rem; }
.warn { border-left: 4px solid #d55e00; background: #fff7f0; padding: .5rem .75rem;
  margin: 1rem 0; }
.summary { border-left: 4px solid var(--accent); background: var(--tint); padding: .5rem .75rem;
  margin: 1rem 0; }
.summary p { max-width: 60rem; }
ul { margin: .25rem 0; padding-left: 1.25rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
.scroll:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: .85rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { caption-side: top; text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .2rem .55rem; text-align: left; white-space: nowrap; vertical-align: baseline; }
th { font-weight: 600; } tbody th { font-weight: 400; }
.number { text-align: right; }
thead tr { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); }
tbody { border-bottom: 1px solid var(--line); }
tbody:last-of-type { border-bottom: 2px solid var(--ink); }
tbody tr:hover { background: var(--tint); }
.wrap td { white-space: normal; }
sup { font-size: .7em; line-height: 0; margin-left: .1em; color: #a13d00; }
figure { margin: 1rem 0; } figure img { width: 45rem; max-width: none;
  height: auto; display: block; }
code, pre { font: .85em/1.45 ui-monospace, monospace; }
pre { background: var(--tint); padding: .6rem .75rem; white-space: pre-wrap; margin: .25rem 0; }
details { margin: .5rem 0; } summary { cursor: pointer; }
dl.sample { margin: .25rem 0 1rem; font-size: .9rem; }
dl.sample dt { color: var(--soft); font-size: .8rem; } dl.sample dd { margin: 0; }
.right { color: #00694b; } .wrong { color: #a13d00; } .unparsed { color: #7a3f6a; }
"""
