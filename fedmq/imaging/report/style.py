"""How the page looks: letters and colours of the reader's system, light or dark."""

import base64
import hashlib
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --rule: #d0d7de;
  --card: #f6f8fa; --own: #0b57d0; --fault: #b3261e; --doubt: #8a5300; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --soft: #a3adb8;
  --rule: #3a424a; --card: #1d2226; --own: #8ab4f8; --fault: #ff8a80; --doubt: #f0b35a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { margin: .75rem 0 .25rem; } h2 { margin: 2.5rem 0 .5rem; } h3 { margin: 0; }
p { max-width: 46rem; margin: .5rem 0; } a { color: var(--own); }
.stays { border: 1px solid var(--fault); border-radius: .4rem; padding: .5rem .75rem;
  max-width: none; }
.soft, caption, figcaption { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); font-weight: normal; }
thead th { font-weight: 600; } td { font-variant-numeric: tabular-nums; }
ul.odd { list-style: none; padding: 0; margin: .5rem 0; max-width: 60rem; }
ul.odd li { border-left: .25rem solid var(--fault); padding: .1rem 0 .1rem .75rem;
  margin: .75rem 0; overflow-wrap: anywhere; }
ul.odd li.doubt { border-color: var(--doubt); }
.kind { font-weight: 600; color: var(--fault); } .doubt .kind { color: var(--doubt); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .5rem 1rem;
  margin: .5rem 0; font-size: .9rem; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid var(--rule); padding: 1.25rem 0; }
.views { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; margin: .75rem 0;
  align-items: flex-end; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--rule); }
svg { display: block; width: 18rem; max-width: 100%; height: auto; background: var(--card);
  border: 1px solid var(--rule); font: 11px system-ui, sans-serif; }
svg rect { fill: var(--own); } svg text { fill: var(--soft); } svg line { stroke: var(--rule); }
""".strip()

_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; img-src data:; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'"
)
"""What a browser may load for the page: its own pictures and exactly this style, no script."""
