"""Draw where the best settings of several networks lie for each task of a run, and what the best look like.

RUN is a folder of `experiments/configs/tasks.py`. FILE.png has a panel for each network: PSNR on what is held out,
below the highest of the task with it. --pictures draws for each task what was measured, what a classical method makes
of it, the best member and the truth.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr_jax.cli.arguments import Command, run
from inr_jax.data.images import as_image, visible
from inr_jax.fit.metrics import psnr
from inr_jax.report import style
from inr_jax.runs import stores
from inr_jax.runs.members import read_member, restore_members
from inr_jax.runs.record import Record
from inr_jax.runs.results import open_record, read_table
from inr_jax.tasks import Task

# Of networks by label, the setting that their members differ in.
NAMES = ("scale", "omega_first", "s")
# Differences beyond this are drawn alike.
MOST = 12.0
WIDTH = 8.0


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.analysis.tasks", __doc__)
    command.add_argument("run", metavar="RUN", help="run folder")
    command.add_argument("--out", metavar="FILE", type=Path, required=True, help="FILE.png")
    command.add_argument("--pictures", metavar="FILE", type=Path, help="FILE.png of the best of each task")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    record = open_record(request.run, finished=True)
    table = read_table(record)
    table["network_label"] = table["label"].str.partition(": ")[2]
    stores.write(request.out, style.png(draw_best(table)))
    print(request.out)
    for (task, network), rows in table.groupby(["task", "network_label"], sort=False):
        name = swept(rows)
        best = rows.loc[rows["psnr_heldout"].idxmax()]
        print(f"{task}, {network}: {name} {best[name]:g}, {best['psnr_heldout']:.2f} dB")
    if request.pictures:
        stores.write(request.pictures, style.png(draw_pictures(record, table)))
        print(request.pictures)
    return 0


def swept(rows: pd.DataFrame) -> str:
    """Return the setting that these members differ in."""
    return next(name for name in NAMES if rows[name].nunique() > 1)


def draw_best(table: pd.DataFrame) -> Figure:
    """Draw a panel for each network: tasks by values, the distance in dB to the task's best."""
    networks = table["network_label"].unique()
    tasks = table["task"].unique()
    figure = Figure(figsize=(10.0, 0.4 + 0.32 * len(tasks) + 0.6), layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for axes, network in zip(panels, networks, strict=True):
        rows = table[table["network_label"] == network]
        name = swept(rows)
        scores = rows.pivot_table(index="task", columns=name, values="psnr_heldout").loc[tasks]
        below = scores.sub(scores.max(axis=1), axis=0)
        axes.imshow(below.clip(-MOST), cmap="viridis", vmin=-MOST, vmax=0.0, aspect="auto")
        for (row, column), value in np.ndenumerate(below.to_numpy()):
            text, color = ("best" if value == 0 else f"{abs(value):.0f}"), "black" if value > -MOST / 2 else "white"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
        axes.set_xticks(range(len(below.columns)), [f"{value:g}" for value in below.columns], fontsize=8)
        axes.set_yticks(range(len(tasks)), tasks, fontsize=8)
        axes.set_xlabel(name, fontsize=9)
        axes.set_title(network, fontsize=9)
    return figure


def draw_pictures(record: Record, table: pd.DataFrame) -> Figure:
    """Draw for each task what was measured, a classical answer, the best member's picture, and the truth."""
    members = restore_members(record)
    best = table.loc[table.groupby("task", sort=False)["psnr_heldout"].idxmax()]
    figure = Figure(figsize=(WIDTH, 2.1 * len(best)), layout="constrained")
    for axes, (row, about) in zip(figure.subplots(len(best), 4, squeeze=False), best.iterrows(), strict=True):
        fitted = read_member(record, int(row), members)  # type: ignore[call-overload]
        task, picture = fitted.task, np.asarray(fitted.render())
        found = {} if task.classical is None else task.classical(task)
        scores = {name: float(psnr(image, task.image)) for name, image in found.items()}
        highest = sorted(found, key=scores.__getitem__)[-1:]
        network = str(about["network_label"])
        found[network], scores[network] = picture, float(psnr(picture, task.image))
        shown = [("measured", measurements(str(about["task"]), task))]
        shown += [(f"{name}: {scores[name]:.1f} dB", flat(found[name])) for name in [*highest, network]]
        shown.append(("truth", flat(np.asarray(task.image))))
        for panel in axes:
            panel.set_axis_off()
        for panel, (title, image) in zip(axes, shown, strict=False):
            panel.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panel.set_title(title, fontsize=8)
        axes[0].text(-0.06, 0.5, about["task"], rotation=90, ha="center", va="center", transform=axes[0].transAxes)
    return figure


def flat(picture: np.ndarray) -> np.ndarray:
    """Return what figures show of a picture: of a volume slices, of a signal its curve."""
    return visible(as_image(np.asarray(picture, np.float32)))


def measurements(name: str, task: Task) -> np.ndarray:
    """Return measurements as an image from 0 to 1, each where it belongs; what is not measured is dark."""
    values, whole = np.asarray(task.measured, np.float32), int(np.prod(task.grid))
    if task.pixelwise:
        known = np.zeros((whole, task.channels), np.float32)
        known[task.train] = values[task.train]
        return flat(known.reshape(task.image.shape))
    if name == "fourier":
        # By the logarithm of their size, frequency 0 in the middle.
        known = np.zeros((whole, 1), np.float32)
        size = np.hypot(values[:, :1], values[:, values.shape[1] // 2 :][:, :1])
        known[np.asarray(task.observe.args[0])] = np.log(np.maximum(size / size.max(), 1e-4)) / np.log(1e4) + 1.05  # type: ignore[attr-defined]
        return flat(np.fft.fftshift(known.reshape(*task.grid, 1), axes=(0, 1)))
    if len(task.grid) == 3:
        # In the voxel in which each lies; inside is white, outside gray.
        voxels = np.round(np.asarray(task.observe.args[0])).astype(int).clip(0, np.subtract(task.grid, 1))  # type: ignore[attr-defined]
        known = np.zeros((*task.grid, 1), np.float32)
        known[tuple(voxels.T)] = 0.35 + 0.65 * values
        return flat(known)
    if name == "gradients":  # those down the columns come first
        height, width = task.grid
        values = values[: (height - 1) * width].reshape(height - 1, width, -1)
    else:
        values = np.asarray(task.targets, np.float32)
    low, high = np.quantile(values, [0.01, 0.99])
    return visible((values - low) / max(high - low, 1e-9))


if __name__ == "__main__":
    run(main)
