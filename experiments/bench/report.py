"""What was measured, as tables, a figure and a file."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares

from inr_jax.report import style
from inr_jax.runs import stores


def ceiling(found: dict[str, Any], kind: str = "float32") -> float:
    """The machine's fastest matrix product of this kind, in GFLOP/s: the best of the medians."""
    return max((float(np.median(v)) for name, v in found["products"].items() if f" {kind} " in name), default=np.nan)


def derived(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each size and way: its rate, and that over eager PyTorch's and over the machine's ceiling."""
    rows, most = [], ceiling(found)
    for run in found["runs"]:
        rates = {
            each["way"]: each["members"] * each["steps"] / np.asarray(each["timings"])
            for each in run["ways"]
            if each.get("timings")
        }
        for each in run["ways"]:
            row = {"size": run["size"], "way": each["way"], "members": each["members"]}
            if each["way"] in rates:
                low, rate, high = np.quantile(rates[each["way"]], [0.25, 0.5, 0.75]).tolist()
                gflops = rate * run["step_flops"] / 1e9
                row |= {"rate": rate, "low": low, "high": high, "gflops": gflops, "of_ceiling": gflops / most}
                if "torch" in rates:
                    row["to_torch"] = rate / float(np.median(rates["torch"]))
            names = ("chosen", "unavailable", "compile_seconds", "peak_bytes", "resident_before")
            rows.append(row | {name: each[name] for name in (*names, "device_peak_bytes") if name in each})
    return rows


def tables(found: dict[str, Any]) -> list[str]:
    """Everything as Markdown tables."""
    head = ["size", "way", "members", "member-steps/s (quartiles)", "to torch", "GFLOP/s", "of the ceiling"]
    rows = [[*head, "compiling (s)", "peak memory (of it its own; MiB)"]]
    for row in derived(found):
        rate = row.get("unavailable", "")
        if "rate" in row:
            rate = f"{row['rate']:.4g} ({row['low']:.4g} to {row['high']:.4g})"
        peak = ""
        if "peak_bytes" in row:
            peak = f"{row['peak_bytes'] / 2**20:.0f} ({(row['peak_bytes'] - row['resident_before']) / 2**20:.0f})"
        if "device_peak_bytes" in row:
            peak += f"; device {row['device_peak_bytes'] / 2**20:.0f}"
        cells = [row["size"], row["way"], str(row["members"]), rate, _cell(row, "to_torch", ".2f")]
        cells += [_cell(row, "gflops", ".4g"), _cell(row, "of_ceiling", ".0%"), _cell(row, "compile_seconds", ".1f")]
        rows.append([*cells, peak])
    said = ", ".join(f"{name}: {np.median(values):.4g}" for name, values in found["products"].items())
    where = f"{found['processor']}, {found['device']}, {found['threads']} threads"
    parts = [markdown(rows), f"{where}. Matrix products, medians in GFLOP/s: {said}."]
    if "overheads" in found:
        each = found["overheads"]
        names = list(each[0]["parts"])
        body = [[e["size"], str(e["members"]), str(e["steps"]), *_shares(e["parts"])] for e in each]
        parts.append(markdown([["a sweep's seconds at", "members", "steps", *names], *body]))
    for each in found.get("scaling", []):
        body = [
            [str(r["members"]), f"{r['first']:.2f}", f"{r['again']:.2f}", f"{r['peak_bytes'] / 2**20:.0f}"]
            for r in each["rows"]
        ]
        parts.append(markdown([[f"{each['kind']}: members", "seconds", "again (s)", "peak memory (MiB)"], *body]))
        law = "{steps} steps: fixed {fixed:.2f} s, then as members^{exponent:.2f}"
        parts.append(law.format(**each))
    if "growth" in found:
        shown = [row for row in found["growth"] if row["designs"] in (1, 2, 4, 8, 16, len(found["growth"]))]
        body = [[str(row["designs"]), f"{row['bytes'] / 2**20:.0f}"] for row in shown]
        parts.append(markdown([["designs, one after another", "memory held (MiB)"], *body]))
    return parts


def written(directory: Path, found: dict[str, Any]) -> None:
    """Write bench.json and bench.png as far as they go."""
    told_all = found | {"ceiling_gflops": ceiling(found), "table": derived(found), "load_after": os.getloadavg()}
    stores.write(directory / "bench.json", json.dumps(told_all, indent=1).encode())
    stores.write(directory / "bench.png", style.png(drawn(derived(found))))


def drawn(rows: Sequence[dict[str, Any]]) -> Figure:
    """Bars of the ways' speed over eager PyTorch's (or, without it, over the first way's), a panel for each size."""
    sizes, ways = list(dict.fromkeys(row["size"] for row in rows)), list(dict.fromkeys(row["way"] for row in rows))
    timed = {(row["size"], row["way"]): row for row in rows if "rate" in row}
    base = "torch" if any(way == "torch" for _, way in timed) else next((way for _, way in timed), "")
    figure = Figure(figsize=(7.2, 0.5 + (0.24 * len(ways) + 0.45) * len(sizes)), layout="constrained")
    for axes, size in zip(figure.subplots(len(sizes), 1, squeeze=False, sharex=True)[:, 0], sizes, strict=True):
        style.light_axes(axes)
        for place, way in enumerate(ways):
            if (row := timed.get((size, way))) and (size, base) in timed:
                over = timed[size, base]["rate"]
                low, value, high = (row[name] / over for name in ("low", "rate", "high"))
                color = style.color(place)
                axes.barh(place, value, color=color, xerr=[[value - low], [high - value]], ecolor=style.GREY)
                axes.annotate(f" {value:.2f}", (high, place), va="center", fontsize=8)
        axes.set_yticks(range(len(ways)), ways, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_axisbelow(True)
        axes.axvline(1.0, color=style.GREY, linewidth=1)
        axes.set_title(f"{size} (pixels x width)", fontsize=9)
    axes.set_xlabel(f"member-steps a second, over those of {base}; quartiles")
    return figure


def _shares(parts: dict[str, float]) -> list[str]:
    whole = sum(parts.values())
    return [f"{seconds:.2f} ({seconds / whole:.1%})" for seconds in parts.values()]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the first one headings, as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(row: dict[str, Any], name: str, form: str) -> str:
    return format(row[name], form) if name in row else ""


def fitted_exponent(count: np.ndarray, took: np.ndarray) -> tuple[float, float]:
    """The fixed cost and b of took = fixed + a count^b, by least squares of the logarithms; fixed is not below 0."""
    if len(count) < 4:
        return float("nan"), float("nan")
    model = lambda p: np.log(p[0] + np.exp(p[1]) * count ** p[2])  # noqa: E731
    start = [0.5 * took.min(), np.log(took.max() / count.max()), 1.0]
    found = least_squares(lambda p: model(p) - np.log(took), start, bounds=([1e-12, -50, 0.05], [took.min(), 50, 4]))
    return float(found.x[0]), float(found.x[2])
