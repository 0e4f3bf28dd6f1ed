"""The report as files: one self-contained HTML page, and its figures as PNG and SVG."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import pandas as pd

from inr_jax.fit.metrics import METRICS
from inr_jax.report.page_data import page_data
from inr_jax.report.sections import Section, make_sections
from inr_jax.report.selection import main_axis
from inr_jax.report.style import COLORS, GREY, png, svg
from inr_jax.report.summary import COSTS, EXCLUDED, REPLICATES, baseline_means
from inr_jax.report.text import (
    Finding,
    describe_images,
    describe_spread,
    find_best,
    format_spread,
    format_value,
    heading,
)
from inr_jax.report.view import RunView
from inr_jax.sweep.grid import TOGETHER

PNG_DPI = 170
MOST_NOTES = 8
# A figure is at most so many CSS pixels an inch: a third larger than in print.
LARGEST = 130
# The page's variables in the place of the colours of figures, which so follow its dark mode.
VARIABLES = {
    **{color.lower(): f"--c{number}" for number, color in enumerate(COLORS)},
    "#000000": "--ink",
    "#ffffff": "--paper",
    **dict.fromkeys(("#dddddd", "#cccccc"), "--line"),
    GREY: "--soft",
}
HEADINGS = {
    "gap": "to the best (dB)",
    TOGETHER: "seeds together (dB)",
    "published": "published (dB)",
}


def render_report(view: RunView) -> Iterator[tuple[str, bytes]]:
    """Yield the report's files by name: figures/NAME.png and .svg for each figure, then report.html."""
    sections = make_sections(view)
    drawings = {}
    for section in sections:
        yield f"figures/{section.name}.png", png(section.figure, PNG_DPI)
        drawings[section.name] = svg(section.figure, section.name, PNG_DPI)
        yield f"figures/{section.name}.svg", drawings[section.name]
    page = Template(_read("page.html")).substitute(_parts(view, sections, drawings) | _explorer_parts(view))
    yield "report.html", page.encode()


def _parts(view: RunView, sections: Sequence[Section], drawings: Mapping[str, bytes]) -> dict[str, str]:
    """Return the parts of the page's template that show the results."""
    table, finding = view.table, find_best(view.table, view.chosen_on, view.metrics)
    excluded = ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items() if status != "ok")
    members = "1 member" if len(table) == 1 else f"{len(table)} members"
    lead = f"{members} on {describe_images(table)}" + (f"; {excluded}" if excluded else "")
    return {
        "title": escape(view.title),
        "lead": escape(lead),
        "finding": escape(finding.text) or "Nothing could be fitted.",
        "notes": _notes_html(view.notes),
        "contents": _contents_html(view, sections),
        "figures": "\n".join(_section_html(section, drawings[section.name]) for section in sections),
        "table_note": escape(_table_note(table, finding)),
        "table": _table_html(finding, view),
        "baselines": _baselines_html(view.baselines),
        "facts": _definitions_html(view.facts),
        "settings": _definitions_html({name: format_value(value) for name, value in view.settings.items()}),
    }


def _explorer_parts(view: RunView) -> dict[str, str]:
    """Return the parts of the page's template that its script works on."""
    data = page_data(view)
    columns = zip(*(member["scores"] for member in data["members"]), strict=True)
    scores = [name for name, column in zip(data["scores"], columns, strict=True) if set(column) != {None}]
    options = "".join(
        f'<option value="{escape(name)}">{escape(data["labels"].get(name, name))}</option>'
        for name in (*data["settings"], *scores, "member")
    )
    axis = main_axis(view.table)
    example = f"{axis}>4" if axis else "member<10"
    # The text must not end the script's element.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return {
        "columns": options,
        "explore": _explore_heading(view),
        "kind": "single" if len(view.table) == 1 else "",
        "shown": escape(_describe_shown(data)),
        "axis": escape(axis or "member"),
        "example": escape(f"{example} status=ok"),
        "data": text,
        "script": _read("page.js"),
    }


def _explore_heading(view: RunView) -> str:
    return "Picture" if len(view.table) == 1 else "Explore"


def _describe_shown(data: Mapping[str, Any]) -> str:
    """Return which member is shown first, and how the highest score differs from the best setting's."""
    best, highest = data["best"], data["highest"]
    if best is None:
        return ""
    if best == highest:
        return f"Member {best}, shown first, has the highest score."
    return (
        f"Member {best}, shown first, has the highest score of the best setting. Member {highest} has the highest of "
        "all, but settings are ranked by their means."
    )


def _read(name: str) -> str:
    return files("inr_jax.report").joinpath(name).read_text(encoding="utf-8")


def _contents_html(view: RunView, sections: Sequence[Section]) -> str:
    """Return links to the headings as the items of a list."""
    headings = {"explore": _explore_heading(view), **{section.name: section.heading for section in sections}}
    headings |= {"table": "Table", "how": "How it was run"}
    return "".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in headings.items())


def _section_html(section: Section, drawing: bytes) -> str:
    return (
        f'<h2 id="{section.name}">{escape(section.heading)}</h2><figure>{_inline(section, drawing)}'
        f"<figcaption>{escape(section.caption)}</figcaption></figure>"
    )


def _inline(section: Section, drawing: bytes) -> str:
    """Return the figure as an element of the page that has the page's width, up to a point, and its colours."""
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", drawing.decode(), flags=re.S)
    text = re.sub(r'(<g) id="[^"]*"', r"\1", text).replace("DejaVuSans", f"{section.name}-glyph")  # ids stay unique
    for color, variable in VARIABLES.items():
        text = text.replace(f": {color}", f": var({variable})")
    width, view_box = section.figure.get_figwidth(), re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {view_box[0]} style="max-width: {width * LARGEST:.0f}px" role="img"' if view_box else "<svg"
    return f'{head} aria-label="{escape(section.alternative)}">{text.partition("<svg")[2].partition(">")[2]}'


def _table_note(table: pd.DataFrame, finding: Finding) -> str:
    replicates = [name for name in REPLICATES if table[name].nunique() > 1]
    means = f"Means over {' and '.join(replicates)}; {describe_spread(table)}" if replicates else "One member each"
    gap = "To the best: the mean difference on the same image, or if there is one image on the same seed. "
    together = "Seeds together: the mean of the predictions of members that differ in their seed alone. "
    notes = [text for name, text in (("gap", gap), (TOGETHER, together)) if name in finding.summary.table]
    return (
        f"{means}; PSNR is of clipped predictions. {''.join(notes)}"
        "Click a heading to sort. All members are in results.csv."
    )


def _table_html(finding: Finding, view: RunView) -> str:
    """Return the summary as a sortable table, the best row marked."""
    summary, table = finding.summary, finding.summary.table
    scores = [*summary.metrics, "gap", TOGETHER, "published"]
    scores = [name for name in scores if name in table and table[name].notna().any()]
    names = ["label", *scores, *summary.settings] if "label" in table else [*summary.settings, *scores]
    names += [
        *(name for name in COSTS if name in table),
        "members",
        *(status for status in EXCLUDED if table[status].any()),
    ]
    headings = [HEADINGS.get(name) or heading(name, view.metrics) for name in names]
    head = "".join(f'<th scope="col"><button>{escape(text)}</button></th>' for text in headings)
    rows = []
    for number, row in table.iterrows():
        cells = "".join(
            f'<td data-value="{escape("" if pd.isna(row[name]) else str(row[name]))}">'
            f"{escape(_cell(row, name, view))}</td>"
            for name in names
        )
        rows.append(f"<tr{' class=best' if finding.best and number == finding.best.row else ''}>{cells}</tr>")
    return f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _cell(row: pd.Series, name: str, view: RunView) -> str:
    if name in COSTS:
        return f"{row[name]:.0f}" if row[name] >= 10 else f"{row[name]:.2g}"
    if name not in view.metrics and name not in ("gap", TOGETHER):
        return format_value(row[name])
    metric = view.metrics.get(name, METRICS["psnr_all"])
    return format_spread(row[name], row[f"{name}_half"], metric.digits)


def _baselines_html(baselines: pd.DataFrame) -> str:
    """Return a table of the baselines; empty if there are none."""
    if baselines.empty:
        return ""
    means = baseline_means(baselines)
    head = "".join(f'<th scope="col">{escape(heading(name))}</th>' for name in means)
    rows = "".join(
        f'<tr><th scope="row">{escape(str(method))}</th>'
        + "".join(f"<td>{value:.{METRICS[name].digits}f}</td>" for name, value in scores.items())
        + "</tr>"
        for method, scores in means.iterrows()
    )
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h3>Without a network</h3><div class="scroll">{table}</div>'


def _notes_html(notes: Sequence[str]) -> str:
    """Return the notes as a list, the first of them; empty if there are none."""
    if not notes:
        return ""
    more = [f"and {len(notes) - MOST_NOTES} more, in the column note of results.csv"] * (len(notes) > MOST_NOTES)
    items = "".join(f"<li>{escape(note)}</li>" for note in [*notes[:MOST_NOTES], *more])
    return f'<ul class="notes">{items}</ul>'


def _definitions_html(pairs: Mapping[str, Any]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items())
