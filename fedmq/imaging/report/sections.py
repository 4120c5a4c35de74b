"""The parts of the page as HTML. Pure; all that comes from files is escaped."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.feature_table import Features
from fedmq.imaging.findings import Finding
from fedmq.imaging.report.advice import advice_for
from fedmq.imaging.report.facts import HU_EDGES, SUV_EDGES, CaseFacts
from fedmq.imaging.report.pictures import Picture

_MODALITIES: Final = ("PET", "CT", "MASK")
_SEEN_FROM: Final = {
    "coronal": "from the front, the patient's right on the left",
    "sagittal": "from the side, the face on the left",
}
_FEATURE_WORDS: Final[Mapping[str, str]] = {
    "suv_max": "SUVmax in the mask",
    "suv_peak": "SUVpeak",
    "suv_mean": "SUVmean",
    "mask_ml": "mask, ml",
    "mtv41_ml": "MTV at 41 %, ml",
    "tlg41": "TLG at 41 %, ml",
    "mtv_suv2_5_ml": "MTV at SUV 2.5, ml",
    "mtv_suv4_ml": "MTV at SUV 4, ml",
    "num_lesions": "lesions",
    "dmax_mm": "Dmax, mm",
}
_LARGE: Final = 10_000
"""Numbers from here on are told in full."""
_SHOWN_SIDE: Final = 240
"""The longer side of a picture on the page, at least."""
_PLOT: Final = (288, 120)
_MARGIN: Final = (8, 16)
"""Of a plot, in its own pixels: above and beside; below, where the numbers stand."""


def anchor_of(number: int) -> str:
    """Return the name of the place of a case in the page."""
    return f"case-{number}"


def case_section(
    number: int, facts: CaseFacts, pictures: Sequence[Picture], findings: Sequence[Finding]
) -> str:
    """Return one case: pictures, histograms, numbers, and what is wrong with it."""
    views = [_figure(facts.case_id, one) for one in pictures]
    if len(facts.suv_counts):
        views.append(_histogram("SUV", SUV_EDGES, facts.suv_counts))
    if len(facts.hu_counts):
        views.append(_histogram("HU", HU_EDGES, facts.hu_counts))
    return "\n".join(
        (
            f'<article id="{anchor_of(number)}">',
            f"<h3>{escape(facts.case_id)}</h3>",
            odd_list([(None, finding) for finding in findings]),
            f'<div class="views">{"".join(views)}</div>' if views else "<p>No volume.</p>",
            _numbers(facts),
            "</article>",
        )
    )


def odd_list(findings: Sequence[tuple[int | None, Finding]]) -> str:
    """Return what is odd, in words, and what to do; with a link where the case's number is told."""
    if not findings:
        return ""
    items = []
    for number, finding in findings:
        name = escape(finding.case_id)
        link = "" if number is None else f'<a href="#{anchor_of(number)}">{name}</a>: '
        kind = "look at it" if finding.is_doubt else "mend it"
        items.append(
            f'<li class="{"doubt" if finding.is_doubt else "fault"}">{link}'
            f'<span class="kind">{kind}</span> ({escape(finding.code)}): {_sentence(finding.text)}'
            f'<br><span class="soft">{escape(advice_for(finding.code))}</span></li>'
        )
    return f'<ul class="odd">{"".join(items)}</ul>'


def summary_table(facts: Sequence[CaseFacts], findings: Sequence[Finding]) -> str:
    """Return the dataset in numbers: what cases have, where the voxels lie, what was found."""
    rows = [("cases", str(len(facts)))]
    for modality in _MODALITIES:
        extents = [one.extents[modality] for one in facts if modality in one.extents]
        rows.append((f"with a {modality} that can be read", str(len(extents))))
        spacings = Counter(" x ".join(f"{one:.3g}" for one in it.spacing_mm) for it in extents)
        if modality != "MASK" and spacings:
            told = ", ".join(f"{words} ({count})" for words, count in spacings.most_common(6))
            more = len(spacings) - 6
            rows.append(
                (
                    f"spacing of the {modality}, mm (cases)",
                    told + (f" and {more} more" * (more > 0)),
                )
            )
    rows.append(
        ("with a clinical row that can be used", str(sum(one.has_clinical for one in facts)))
    )
    rows += [
        (f"{what}, lowest to highest", f"{_number(min(known))} to {_number(max(known))}")
        for what, known in (
            ("SUVmax of the PET", [one.suv_max for one in facts if one.suv_max is not None]),
            ("median SUV of the body", [one.body_suv for one in facts if one.body_suv is not None]),
        )
        if known
    ]
    num_faulty = len({one.case_id for one in findings if not one.is_doubt})
    rows.append(("cases with something to mend", str(num_faulty)))
    codes = Counter(one.code for one in findings)
    rows += [(f"findings: {escape(code)}", str(count)) for code, count in codes.most_common()]
    body = "".join(f"<tr><th scope=row>{what}</th><td>{told}</td></tr>" for what, told in rows)
    return f'<div class="scroll"><table><tbody>{body}</tbody></table></div>'


def index_table(
    facts: Sequence[CaseFacts], findings: Sequence[Finding], numbers: Sequence[int]
) -> str:
    """Return a row for each case, with a link to the place of its number."""
    counts = Counter(one.case_id for one in findings)
    rows = [
        f'<tr><td><a href="#{anchor_of(number)}">{escape(one.case_id)}</a></td>'
        f"<td>{' '.join(one.extents) or '-'}</td><td>{_number(one.suv_max)}</td>"
        f"<td>{_number(one.body_suv)}</td>"
        f"<td>{_number(getattr(one.features, 'mtv41_ml', None))}</td>"
        f"<td>{_number(getattr(one.features, 'num_lesions', None))}</td>"
        f"<td>{counts[one.case_id] or '-'}</td></tr>"
        for number, one in zip(numbers, facts, strict=True)
    ]
    titles = ("case", "has", "SUVmax", "body SUV", "MTV41, ml", "lesions", "findings")
    head = "".join(f"<th scope=col>{title}</th>" for title in titles)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _figure(case_id: str, picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    # What is cropped around a tumour is shown as large as a whole body.
    scale = max(1.0, _SHOWN_SIDE / max(picture.width, picture.height))
    seen = _SEEN_FROM[picture.view]
    return (
        f'<figure><img alt="{escape(case_id)} {seen}" width={round(picture.width * scale)} '
        f'height={round(picture.height * scale)} src="data:image/png;base64,{data}">'
        f"<figcaption>{picture.view}</figcaption></figure>"
    )


def _histogram(unit: str, edges: NDArray[np.float64], counts: NDArray[np.int_]) -> str:
    """Return the voxels by value; heights are logarithms, or air would hide all the rest."""
    (width, height), (side, below) = _PLOT, _MARGIN
    heights = np.log10(1.0 + counts)
    heights = heights / max(float(heights.max()), 1.0) * (height - side - below)
    step = (width - 2 * side) / len(counts)
    bars = "".join(
        f'<rect x="{side + number * step:.1f}" y="{height - below - one:.1f}" '
        f'width="{step * 0.9:.1f}" height="{one:.1f}"/>'
        for number, one in enumerate(heights)
        if one > 0.0
    )
    ticks = "".join(
        f'<text x="{x}" y="{height - 4}" text-anchor="{where}">{value:g}{end}</text>'
        for x, where, value, end in (
            (side, "start", edges[0], ""),
            (width // 2, "middle", (edges[0] + edges[-1]) / 2, ""),
            (width - side, "end", edges[-1], " or more"),
        )
    )
    line = f'<line x1="{side}" x2="{width - side}" y1="{height - below}" y2="{height - below}"/>'
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="voxels by {unit}">{bars}{line}{ticks}</svg>'
        f"<figcaption>voxels by {unit}, heights are logarithms</figcaption></figure>"
    )


def _numbers(facts: CaseFacts) -> str:
    cells = []
    for modality, extent in facts.extents.items():
        spacing = " x ".join(f"{one:.3g}" for one in extent.spacing_mm)
        shape = " x ".join(str(side) for side in extent.shape)
        cells.append((modality, f"{shape} voxels<br>{spacing} mm"))
    if facts.suv_max is not None:
        cells.append(("SUVmax of the PET", _number(facts.suv_max)))
    if facts.body_suv is not None:
        cells.append(("median SUV of the body", _number(facts.body_suv)))
    if facts.hu_range is not None:
        cells.append(("HU", f"{facts.hu_range[0]:.0f} to {facts.hu_range[1]:.0f}"))
    cells += _feature_cells(facts.features)
    told = "".join(f"<div><dt>{what}</dt><dd>{value}</dd></div>" for what, value in cells)
    return f"<dl>{told}</dl>" if told else ""


def _feature_cells(features: Features | None) -> list[tuple[str, str]]:
    if features is None:
        return []
    return [(words, _number(getattr(features, name))) for name, words in _FEATURE_WORDS.items()]


def _sentence(text: str) -> str:
    return escape(text if text.endswith("?") else f"{text}.")


def _number(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= _LARGE else f"{number:.4g}"
