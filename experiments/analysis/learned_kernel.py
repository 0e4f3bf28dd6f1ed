"""What a network gained by its learned features.

For members of a finished run: the held-out PSNR that training reached, and that of kernel regression with the kernel of
infinite width, with the network's own before its first step, and with the network's own after its last.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.linalg

from inr_jax.cli.arguments import Command, run, whole
from inr_jax.fit.design import Design, Hyper, stack
from inr_jax.fit.member import State, init
from inr_jax.fit.metrics import psnr
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.kernel.ntk import empirical_ntk
from inr_jax.kernel.prediction import SHORT_RIDGE, predict
from inr_jax.runs.members import Fitted, read_member
from inr_jax.runs.results import open_record, read_table
from inr_jax.settings import Refused

# Training pixels whose kernel is held as a matrix.
MOST_PIXELS = 6000


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.analysis.learned_kernel", __doc__)
    command.add_argument("run", metavar="RUN", help="folder of a finished run")
    command.add_argument("--member", metavar="ROW,ROW", required=True, type=_rows, help="rows in results.csv, from 0")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    record = open_record(request.run)
    table = read_table(record)
    scores = [kernel_scores(read_member(record, row)) for row in request.member]
    shown = table.loc[request.member, ["image", "size", "split", "scale", "steps", "psnr_heldout"]]
    print(shown.assign(**pd.DataFrame(scores, index=shown.index)).round(2).to_string())
    return 0


def kernel_scores(fitted: Fitted, ridge: float = SHORT_RIDGE) -> dict[str, float]:
    """Held-out PSNR of kernel regression with three kernels: of infinite width, and the network's first and last.

    The gain of the last over the others is what a fixed kernel misses: the network has adapted its features to the
    image (Fort et al. 2020). Raises Refused where the training pixels are too many to hold their matrix, 6,000.
    """
    member, outcome, _, task = fitted
    if len(task.train) > MOST_PIXELS:
        raise Refused(f"{len(task.train)} training pixels are too many to hold their kernel: at most {MOST_PIXELS}")
    design, hyper = member.design, member.hyper
    first = init(design, hyper, task)
    last = first._replace(params=outcome.params, data=outcome.data)
    infinite = predict(design, stack([hyper]), task, ridge=ridge).psnr_heldout[0]
    empirical = {name: _score(design, hyper, state, task, ridge) for name, state in (("first", first), ("last", last))}
    return {"infinite": float(infinite), **empirical}


def _score(design: Design, hyper: Hyper, state: State, task: Task, ridge: float) -> float:
    """Held-out PSNR of ridge regression with a network's empirical kernel, whose mean at zero difference is 1."""
    at = [pixel_coordinates(jnp.asarray(index), task.grid, design.domain) for index in (task.train, task.heldout)]
    matrix = np.asarray(empirical_ntk(design, hyper, state, jnp.concatenate(at), at[0], task.channels), float)
    matrix /= np.mean(np.diag(matrix))
    known, wanted = np.split(matrix, [len(task.train)])
    colors = np.asarray(task.colors, float)
    mean = colors[task.train].mean(0)
    weights = scipy.linalg.solve(known + ridge * np.eye(len(known)), colors[task.train] - mean, assume_a="pos")
    return float(psnr(wanted @ weights + mean, colors[task.heldout]))


def _rows(text: str) -> list[int]:
    return [whole(0)(row.strip()) for row in text.split(",")]


if __name__ == "__main__":
    run(main)
