"""How the page looks: letters and colours of the reader's system, light or dark."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --rule: #d0d7de;
  --own: #0b57d0; --limit: #9a5b00; --peer: #57606a; --aim: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --soft: #a3adb8;
  --rule: #3a424a; --own: #8ab4f8; --limit: #f0b35a; --peer: #a3adb8; --aim: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { line-height: 1.2; margin: .5rem 0; } h2 { margin: 2.5rem 0 .25rem; line-height: 1.25; }
p { max-width: 46rem; margin: .5rem 0; } a { color: var(--own); }
code { font-size: .9em; overflow-wrap: anywhere; }
nav ul { padding: 0; margin: .5rem 0; list-style: none; display: flex; flex-wrap: wrap;
  gap: .25rem 1rem; }
nav a { display: inline-block; padding: .25rem 0; }
figure { margin: 1rem 0; padding: 1rem 0 0; border-top: 1px solid var(--rule); display: grid;
  gap: .75rem 2rem; grid-template-columns: minmax(0, 1fr); }
figcaption { grid-column: 1 / -1; } figcaption strong { display: block; font-size: 1.05rem; }
.source { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; }
@media (min-width: 54rem) { figure { grid-template-columns: minmax(0, 33rem) minmax(0, 1fr); } }
svg { display: block; width: 100%; max-width: 33rem; height: auto;
  font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .group, svg .tick, svg .missing { fill: var(--soft); }
svg .group { font-weight: 600; } svg .own { fill: var(--own); } svg text.own { font-weight: 600; }
svg .limit { fill: var(--limit); } svg .peer { fill: var(--peer); }
svg text.peer, svg text.limit { fill: var(--ink); }
svg .missing { font-style: italic; } svg .tick { text-anchor: middle; font-size: 11px; }
svg .number { text-anchor: end; } svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .mark { stroke: var(--paper); stroke-width: 1; }
svg .whisker { stroke-width: 4; stroke-linecap: round; opacity: .45; }
svg .whisker.own { stroke: var(--own); } svg .whisker.limit { stroke: var(--limit); }
svg .whisker.peer { stroke: var(--peer); }
svg .aim { stroke: var(--aim); stroke-width: 2; stroke-dasharray: 4 3; }
svg .fit { stroke: var(--own); stroke-width: 1.5; stroke-dasharray: 6 4; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
@media (max-width: 30rem) { table { font-size: .8rem; } }
caption { text-align: left; color: var(--soft); font-size: .85rem; }
th, td { padding: .25rem .6rem .25rem 0; text-align: left; border-bottom: 1px solid var(--rule);
  vertical-align: top; font-weight: normal; }
thead th { font-weight: 600; }
td { font-variant-numeric: tabular-nums; } td.missing { color: var(--soft); font-style: italic; }
.keys { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; padding: 0; list-style: none; }
.keys svg { display: inline; width: 1rem; height: 1rem; vertical-align: -.15rem; }
""".strip()
