"""The style sheet of tables and report, on screens of any width and on paper."""

STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --tint: #f6f8fa;
  --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 77rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
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
:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: .85rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { caption-side: top; text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .2rem .5rem; text-align: left; white-space: nowrap; vertical-align: baseline; }
th { font-weight: 600; } tbody th { font-weight: 400; }
.number { text-align: right; }
thead tr { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); }
tbody { border-bottom: 1px solid var(--line); }
tbody:last-of-type { border-bottom: 2px solid var(--ink); }
tbody tr:hover { background: var(--tint); }
.repeat { color: transparent; }
.wrap td { white-space: normal; overflow-wrap: anywhere; }
th button { all: unset; position: relative; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--accent); }
th button:hover { color: var(--accent); }
th button::after { position: absolute; left: 100%; color: var(--accent); }
th[aria-sort=ascending] button::after { content: "\\2191"; }
th[aria-sort=descending] button::after { content: "\\2193"; }
sup { font-size: .7em; line-height: 0; margin-left: .1em; color: #a13d00; }
figure { margin: 1rem 0; } figure img { max-width: none; display: block; }
code, pre { font: .85em/1.45 ui-monospace, monospace; }
pre { background: var(--tint); padding: .6rem .75rem; white-space: pre-wrap; margin: .25rem 0;
  unicode-bidi: isolate; }
details { margin: .5rem 0; } summary { cursor: pointer; }
details details { margin: .15rem 0 .15rem .75rem; }
.cell > :not(summary) { margin-left: 1rem; }
dl.sample { margin-block: .25rem 1rem; font-size: .9rem; }
dl.sample dt { color: var(--soft); font-size: .8rem; } dl.sample dd { margin: 0; }
.right { color: #00694b; } .wrong { color: #a13d00; } .unparsed { color: #7a3f6a; }
@media print {
  @page { size: landscape; margin: 1cm; }
  nav { display: none; } main { max-width: none; padding: 0; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: .1rem .25rem; }
  figure img { max-width: 100%; height: auto; } figure, tr, dl.sample { break-inside: avoid; }
}
"""
