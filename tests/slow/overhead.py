"""What surviving costs when nothing happens: python -m tests.slow.overhead  (or make overhead)

The same members, fitted by a study with everything on (looks, checkpoints, curves, locks, files, the finiteness guard)
and by the bare compiled step in a loop without any; in turn, several times. The medians of the pairs' ratios.
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import lax

from inr_jax.cli import config as configuration
from inr_jax.data.problem import load_task
from inr_jax.fit import member
from inr_jax.fit.design import member_of
from inr_jax.runs import study
from inr_jax.runs.members import members_of
from inr_jax.sweep.ensemble import planned
from inr_jax.sweep.grid import batches

STUDY = "experiments/configs/scale.py:quick"


@partial(jax.jit, static_argnums=(0, 1))
def bare(design, block, hyper, task, state, steps):
    """All steps of a member, and nothing else."""
    return lax.fori_loop(0, steps, lambda t, s: member.step(design, hyper, task, s, t, block)[0], state)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=1.0, help="run.checkpoint_seconds, of which the default is 60")
    asked = parser.parse_args()
    # Curves are results, and left out here.
    settings = [("axes.scale", "4,8"), ("axes.seed", "0"), ("design.steps", str(asked.steps)), ("run.history", "2")]
    loaded = configuration.load(STUDY, [*settings, ("run.checkpoint_seconds", str(asked.seconds))])
    (batch,) = batches(members_of(loaded.study).grid, range(2))
    task = jax.device_put(load_task(batch.data))
    plan = planned(batch.design, batch.hypers, task, 1)
    init = jax.jit(lambda hyper: member.init(batch.design, hyper, task))

    def alone() -> float:
        begun = time.perf_counter()
        for place in range(2):
            hyper = member_of(batch.hypers, place)
            jax.block_until_ready(bare(batch.design, plan.block, hyper, task, init(hyper), np.int32(asked.steps)))
        return time.perf_counter() - begun

    def surviving() -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            record = study.run(loaded, str(Path(folder) / "run")).record
            return time.perf_counter() - begun, record.run.fit_seconds

    alone(), surviving()
    fitting, whole = [], []
    for _ in range(asked.repeats):
        without = alone()
        everything, members = surviving()
        fitting.append(members / without - 1)
        whole.append(everything - members)
    print(f"bare steps {without:.1f} s; fitting with all of it: {statistics.median(fitting):+.2%} (median of")
    print(f"{asked.repeats}: {', '.join(f'{each:+.1%}' for each in fitting)}), evaluating and keeping included;")
    print(f"once a run, tables, figures and report: {statistics.median(whole):.1f} s")


if __name__ == "__main__":
    main()
