"""One self-contained HTML page from a record, and its figures. The page's template is report.html."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from inr_jax import ensemble, figures, fit, images, tables, tasks
from inr_jax.figures import Curve, Pictured
from inr_jax.grid import Member
from inr_jax.records import SCORES, Kept, Learned, Record
from inr_jax.records import write as write_file

# Members shown side by side: of a curve its ends and its best point, in the gallery also some between.
MOST_PICTURED, MOST_COMPARED = 6, 3
# Pictures behind the slider: no more, and no larger, than keeps the page light.
MOST_SLIDES, SLIDE_SIDE = 24, 192
PNG_DPI = 130
# Name, figure, dimensions of what it shows, caption.
GALLERIES = (
    (
        "gallery",
        figures.gallery,
        2,
        "Each row one member: the target, what was fitted, the signed error (red: too bright; mean over channels), and "
        "the power at each frequency on a logarithmic scale, zero in the middle.",
    ),
    ("signals", figures.signals, 1, "Each panel one member: the signal, what was fitted, and the samples trained on."),
)
PAIRED = "To the best: the mean difference on the same seed, or of several images on the same image. "
HEADINGS = {
    "psnr_train": "train (dB)",
    "psnr_heldout": "held out (dB)",
    "psnr_all": "all pixels (dB)",
    "ssim": "SSIM",
    "behind": "to the best (dB)",
    "published": "published (dB)",
}


class Drawn(NamedTuple):
    """A figure with its file name, heading, caption, and what a screen reader says."""

    name: str
    heading: str
    figure: Figure
    caption: str
    alternative: str


def write(record: Record, members: Sequence[Member], keys: Sequence[str]) -> None:
    """Write report.html, and figures/ with every figure as PNG and SVG, from what the record holds."""
    table = pd.read_csv(record.directory / "results.csv")
    baselines = pd.read_csv(record.directory / "baselines.csv")
    drawn = _drawn(record, table, baselines, members, keys)
    pictures = {each.name: _png(each.figure) for each in drawn}
    for each in drawn:
        svg = io.BytesIO()
        each.figure.savefig(svg, format="svg", metadata={"Date": None})
        write_file(record.directory / "figures" / f"{each.name}.svg", svg.getvalue())
        write_file(record.directory / "figures" / f"{each.name}.png", pictures[each.name])
    page = Template(files("inr_jax").joinpath("report.html").read_text(encoding="utf-8"))
    write_file(
        record.directory / "report.html",
        page.substitute(
            _parts(record, table, baselines, drawn, pictures), slides=_slides(record, table, members, keys)
        ).encode(),
    )


def learned(record: Record, kept: Kept, member: Member) -> Learned:
    """What a finished member learned, verified. Raises Damaged if the file holds something else."""
    return record.learned(kept, fit.shapes(member.design, member.hyper, tasks.of(member.data)))


def picture(member: Member, fitted: Learned, grid: tuple[int, ...] = ()) -> Float[np.ndarray, "*grid c"]:
    """What the member learned as an image, unclipped, on a grid of any size (none: its own image's)."""
    task = tasks.of(member.data)
    return ensemble.render(member.design, member.hyper, fitted.params, fitted.data, grid or task.grid, task.channels)


def representative(table: pd.DataFrame, most: int) -> list[int]:
    """At most so many rows of results.csv that show what a study found: points of its best curve, or its settings.

    Of a curve they are the lowest, the best and the highest, and what lies evenly between.
    """
    good = table[(table["status"] == "ok")]
    if good.empty:
        return []
    axis = figures.main_axis(good)
    by = [name for name in tables.varying(table) if name not in tables.REPEATED]
    if axis is None:
        # What was searched on the way to a second stage is in the table.
        shown = tables.last_stage(good)
        told_by = [*by, *(n for n in ("label",) if n in good)]
        return (shown.drop_duplicates(told_by) if told_by else shown).index.tolist()[: most if told_by else 1]
    curve = _curve(good, axis)
    best = curve.index.get_loc(good[tables.criterion(good)].idxmax())
    even = np.linspace(0, len(curve) - 1, most - 1).round().astype(int)
    return curve.index[np.unique([*even, best])].tolist()


def _curve(good: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The members that differ from the best one only along the axis, in its order."""
    winner = good.loc[good[tables.criterion(good)].idxmax()]
    by = [name for name in tables.varying(good) if name not in (*tables.REPEATED, axis)]
    same = good[[*by, *tables.REPEATED]].apply(
        lambda row: all(tables.cell(row[n]) == tables.cell(winner[n]) for n in row.index), axis=1
    )
    return good[same].sort_values(axis)


def _slides(record: Record, table: pd.DataFrame, members: Sequence[Member], keys: Sequence[str]) -> str:
    """A slider along the main axis that swaps the pictures of the best curve's members; empty where there is none."""
    good = table[table["status"] == "ok"]
    axis = figures.main_axis(good) if len(good) else None
    if axis is None or len(curve := _curve(good, axis)) < 3:
        return ""
    if any(len(tasks.of(members[row].data).grid) != 2 for row in curve.index):
        return ""
    curve = curve.iloc[np.unique(np.linspace(0, len(curve) - 1, MOST_SLIDES).astype(int))]
    score, kept, slides = tables.criterion(good), record.kept(), []
    for row, told in curve.iterrows():
        member, full = members[row], tasks.of(members[row].data).grid
        shrunk = max(1.0, max(full) / SLIDE_SIDE)
        image = picture(member, learned(record, kept[keys[row]], member), tuple(round(side / shrunk) for side in full))
        pixels = "held-out" if score == "psnr_heldout" else "training"
        text = f"{axis} {tables.cell(told[axis])}: {told[score]:.2f} dB on {pixels} pixels"
        slides.append({"text": text, "source": _data(images.to_png(image))})
    best = int(np.argmax(curve[score]))
    return (
        f'<h2>Slide through {escape(axis)}</h2><figure class="slides"><img alt="{escape(slides[best]["text"])}" '
        f'src="{slides[best]["source"]}"><figcaption><label>{escape(axis)} <input type="range" min="0" '
        f'max="{len(slides) - 1}" value="{best}" step="1"></label> <output>{escape(slides[best]["text"])}</output>'
        "</figcaption>"
        f'<script type="application/json">{json.dumps(slides)}</script></figure>'
    )


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _drawn(record: Record, table, baselines, members: Sequence[Member], keys: Sequence[str]) -> list[Drawn]:
    drawn = []
    axis, plane = figures.main_axis(table), figures.surface_axes(table)
    if plane:
        x, y = plane
        drawn.append(
            Drawn(
                f"psnr_over_{x}_and_{y}",
                f"PSNR over {x} and {y}",
                figures.surface(table, x, y),
                f"{len(table)} members. Star: the best setting; crosses: a member diverged or failed.",
                f"Heat map of PSNR in dB over {x} and {y}; the values are those of the table below.",
            )
        )
    elif axis:
        lines = len(figures.lines_of(table, axis)[1])
        fewer = f" Of {lines} lines the {figures.MOST_LINES} that reach most." if lines > figures.MOST_LINES else ""
        drawn.append(
            Drawn(
                f"psnr_against_{axis}",
                f"PSNR against {axis}",
                figures.against(table, axis, baselines),
                f"{len(table)} members; {figures.band_said(table)}. Solid: held-out pixels; dotted: training pixels; "
                "grey: interpolation of the training pixels without a network. Settings that only the training pixels "
                f"like are overfitted.{fewer}",
                f"Line chart of PSNR in dB against {axis}; the values are those of the table below.",
            )
        )
    else:
        drawn.append(
            Drawn(
                "psnr_compared",
                "PSNR of each setting",
                figures.compared(table, baselines),
                f"{len(table)} members; {tables.spread_said(table)}. "
                "Grey: interpolation of the training pixels without a network.",
                "Dot chart of PSNR in dB of each setting; the values are those of the table below.",
            )
        )
    if kind := figures.kinds_of_frequencies(table):
        drawn.append(
            Drawn(
                "psnr_over_frequencies",
                "PSNR over the frequencies that were used",
                figures.over_frequencies(table, kind),
                "Each mark one member, at the root mean square of its B: as drawn, or where B is learned as it ended."
                f" At most {figures.MOST_PANELS} panels.",
                f"Scatter chart of PSNR in dB against the root mean square of the frequencies, by {kind}.",
            )
        )
    rows = representative(table, MOST_PICTURED)
    if not rows:
        return drawn
    few = representative(table, MOST_COMPARED if axis else MOST_PICTURED)
    kept, by = record.kept(), tables.told_apart(tables.summary(table))
    curves: list[Curve] = []
    pictured: list[Pictured] = []
    compared: list[Pictured] = []
    for row in rows:
        member = members[row]
        task = tasks.of(member.data)
        fitted = learned(record, kept[keys[row]], member)
        name = tables.named(table.loc[row], by)
        each = Pictured(name, np.asarray(task.image), picture(member, fitted), np.asarray(task.train))
        pictured.append(each)
        if row in few:
            curves.append(Curve(name, kept[keys[row]].steps, fitted.curves))
            compared.append(each)
    drawn.append(
        Drawn(
            "training",
            "Training curves",
            figures.training(curves),
            "PSNR over the steps, on an even sample of the pixels of either kind; one seed each.",
            f"Line chart of PSNR in dB over training steps for {', '.join(c.name for c in curves)}.",
        )
    )
    drawn.append(
        Drawn(
            "bands",
            "Which frequencies are learned when",
            figures.bands(curves),
            "The error's power over the target's in octaves of frequency, along some rows and columns of all pixels: "
            "at 1 nothing of a band is learned. Low bands fall first; a band that never falls is out of reach.",
            f"Line charts of relative error power over training steps, a line for each octave, for "
            f"{', '.join(c.name for c in curves)}.",
        )
    )
    for name, draw, dims, said in GALLERIES:
        shown = [p for p in pictured if p.target.ndim - 1 == dims]
        if shown:
            about = f"{'; '.join(p.title for p in shown)}: target and prediction"
            drawn.append(Drawn(name, name.capitalize(), draw(shown), said, about))
    same = [p for p in compared if np.array_equal(p.target, compared[0].target)]
    drawn.append(
        Drawn(
            "spectra",
            "Power at each frequency",
            figures.spectra(same),
            "Radially averaged, of the target, the predictions and their errors. Where an error reaches the "
            "target, nothing of that frequency was fitted.",
            f"Line chart of power against frequency for {', '.join(p.title for p in same)}.",
        )
    )
    return drawn


def _parts(record: Record, table, baselines, drawn: Sequence[Drawn], pictures: dict[str, bytes]) -> dict[str, str]:
    run, (summed, winner, said) = record.run, tables.found(table)
    counts = table["status"].value_counts()
    sections = [
        f'<h2>{escape(d.heading)}</h2><figure><img src="{_data(pictures[d.name])}" alt="{escape(d.alternative)}">'
        f"<figcaption>{escape(d.caption)}</figcaption></figure>"
        for d in drawn
    ]
    bad = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "ok")
    repeated = [name for name in tables.REPEATED if table[name].nunique() > 1]
    note = f"Means over {' and '.join(repeated)}; {tables.spread_said(table)}" if repeated else "One member each"
    return {
        "title": escape(f"{run['study']}: {run['variant']}"),
        "lead": escape(f"{len(table)} members on {tables.images_of(table)}" + (f"; {bad}" if bad else "")),
        "finding": escape(said) or "Nothing could be fitted.",
        "figures": "\n".join(sections),
        "table_note": f"{note}; PSNR is of clipped predictions. {PAIRED if 'behind' in summed else ''}"
        "A header sorts. Every member is in results.csv.",
        "table": _table(summed, winner),
        "baselines": _baseline_table(baselines),
        "run": _definitions(_told(run)),
        "settings": _definitions({name: tables.cell(value) for name, value in run["identity"]["settings"].items()}),
    }


def _told(run: dict[str, Any]) -> dict[str, str]:
    axes = {f"axis {name}": ", ".join(map(tables.cell, values)) for name, values in run["axes"].items()}
    plans = run.get("plans", {}).values()
    chunks = sorted({f"{plan['chunk']} members, {plan['block'] or 'all'} pixels a block" for plan in plans})
    return {
        "command": run["command"],
        **axes,
        "device": f"{run['device']}, {run['threads']} threads",
        "fitting": f"{run['fit_seconds']:.1f} s",
        "compiling": f"{run['compile_seconds']:.1f} s",
        "chunks": "; ".join(chunks),
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        "commit": str(run["git_commit"]),
        "fingerprint": run["fingerprint"],
    }


def _definitions(pairs: dict[str, str]) -> str:
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


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI)
    return buffer.getvalue()
