"""One self-contained HTML page from a run, and its figures. Its templates are page.html and explorer.html."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import pandas as pd

from inr_jax.report import explorer
from inr_jax.report import plots_members as figures
from inr_jax.report import sections as plates
from inr_jax.report import summary as tables
from inr_jax.report.sections import Plate
from inr_jax.report.view import RunView
from inr_jax.sweep.grid import SCORES

PNG_DPI = 130
PAIRED = "To the best: the mean difference on the same seed, or of several images on the same image. "
HEADINGS = {
    "psnr_train": "train (dB)",
    "psnr_heldout": "held out (dB)",
    "psnr_all": "all pixels (dB)",
    "ssim": "SSIM",
    "behind": "to the best (dB)",
    "published": "published (dB)",
}


def render_report(view: RunView) -> Iterator[tuple[str, bytes]]:
    """Yield the report's files by name: figures/NAME.png and .svg for each figure, then report.html."""
    drawn = plates.of(view)
    pictures = {each.name: figures.png(each.figure, PNG_DPI) for each in drawn}
    for each in drawn:
        svg = io.BytesIO()
        each.figure.set_layout_engine("none")  # laid out once, for the PNG
        each.figure.savefig(svg, format="svg", metadata={"Date": None})
        yield f"figures/{each.name}.svg", svg.getvalue()
        yield f"figures/{each.name}.png", pictures[each.name]
    parts = _parts(view, drawn, pictures) | _explorer(explorer.member_data(view))
    yield "report.html", Template(_file("page.html")).substitute(parts).encode()


def _explorer(found: dict[str, Any]) -> dict[str, str]:
    """The part of the page that its reader explores, and the script with its data behind it."""
    scores = [n for place, n in enumerate(SCORES) if any(m["scores"][place] is not None for m in found["members"])]
    radios = "".join(
        f'<label><input type="radio" name="score" value="{n}"> {escape(HEADINGS.get(n, n))}</label>' for n in scores
    )
    axis = escape(found["axis"])
    some = f"{found['axis']}>4" if found["axis"] != "member" else "member<10"
    section = Template(_file("explorer.html")).substitute(scores=radios, axis=axis, example=escape(f"{some} status=ok"))
    # No end of the script's element within its text.
    data = json.dumps(found, allow_nan=False).replace("<", "\\u003c")
    script = f'<script type="application/json" id="members">{data}</script>\n<script>\n{_file("explorer.js")}</script>'
    return {"explore": section, "explorer": script}


def _file(name: str) -> str:
    return files("inr_jax.report").joinpath(name).read_text(encoding="utf-8")


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _parts(view: RunView, drawn: Sequence[Plate], pictures: dict[str, bytes]) -> dict[str, str]:
    table, (summed, winner, said) = view.table, tables.found(view.table, view.chosen_on)
    counts = table["status"].value_counts()
    sections = [
        f'<h2>{escape(d.heading)}</h2><figure><div class="scroll"><img src="{_data(pictures[d.name])}" '
        f'alt="{escape(d.alternative)}"></div>'
        f"<figcaption>{escape(d.caption)}</figcaption></figure>"
        for d in drawn
    ]
    bad = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "ok")
    repeated = [name for name in tables.REPEATED if table[name].nunique() > 1]
    note = f"Means over {' and '.join(repeated)}; {tables.spread_said(table)}" if repeated else "One member each"
    return {
        "title": escape(view.title),
        "lead": escape(f"{len(table)} members on {tables.images_of(table)}" + (f"; {bad}" if bad else "")),
        "finding": escape(said) or "Nothing could be fitted.",
        "figures": "\n".join(sections),
        "table_note": f"{note}; PSNR is of clipped predictions. {PAIRED if 'behind' in summed else ''}"
        "A header sorts. Every member is in results.csv.",
        "table": _table(summed, winner),
        "baselines": _baseline_table(view.baselines),
        "run": _definitions(view.facts),
        "settings": _definitions({name: tables.cell(value) for name, value in view.settings.items()}),
    }


def _definitions(pairs: Mapping[str, str]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items())


def _table(summed: pd.DataFrame, winner: tables.Best | None) -> str:
    """The summary as a sortable HTML table, the best row marked."""
    settings = tables.settings_of(summed)
    remarks = [n for n in ("label",) if n in summed]
    scores = [n for n in (*SCORES, "behind", "published") if n in summed and summed[n].notna().any()]
    names = [*remarks, *scores, *settings] if remarks else [*settings, *scores]
    names += ["members", *(bad for bad in tables.BAD if summed[bad].any())]
    head = "".join(f'<th scope="col"><button>{escape(HEADINGS.get(n, n))}</button></th>' for n in names)
    rows = []
    for place, row in summed.iterrows():
        cells = "".join(
            f'<td data-value="{escape("" if pd.isna(row[n]) else str(row[n]))}">{escape(_shown(row, n))}</td>'
            for n in names
        )
        rows.append(f"<tr{' class=best' if winner and place == winner.place else ''}>{cells}</tr>")
    return f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _shown(row: pd.Series, name: str) -> str:
    if name not in (*SCORES, "behind"):
        return tables.cell(row[name])
    return tables.spread(row[name], row[f"{name}_half"], 4 if name == "ssim" else 2)


def _baseline_table(baselines: pd.DataFrame) -> str:
    if baselines.empty:
        return ""
    means = tables.baseline_means(baselines)
    rows = "".join(
        f"<tr><td>{escape(str(method))} interpolation</td><td>{v.psnr_heldout:.2f}</td><td>{v.psnr_all:.2f}</td></tr>"
        for method, v in means.iterrows()
    )
    return (
        "<h3>Without a network</h3><table><thead><tr><th></th><th>held out (dB)</th><th>all pixels (dB)</th></tr>"
        "</thead>"
        f"<tbody>{rows}</tbody></table>"
    )
