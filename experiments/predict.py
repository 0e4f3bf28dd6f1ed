"""What the theory says without training: python -m experiments.predict --config=PATH[:VARIANT] --out=DIR

Kernel regression with the neural tangent kernel of every member of a study: DIR/prediction.csv and DIR/prediction.png.
--ridge stands for the length of training (0.05: hundreds of steps; 0.001: endless), or --time stops gradient flow.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import console, number, parsed, run
from inr_jax.kernel import of_study as foresight
from inr_jax.kernel import scale_curves as theory
from inr_jax.kernel.regression import NotConverged
from inr_jax.report import plots_members as figures
from inr_jax.report import plots_theory as theory_charts
from inr_jax.report import summary as tables
from inr_jax.runs import stores, study
from inr_jax.settings import Refused

USAGE = (
    "python -m experiments.predict --config=PATH[:VARIANT] [--config.FIELD=VALUE ...] --out=DIR [--ridge=R | --time=T]"
)


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=("config", "out", "ridge", "time"), switches=("help",))
    if arguments.help:
        print(f"{__doc__}\n{USAGE}")
        return 0
    loaded = configuration.load(arguments.required("config", USAGE), arguments.overrides)
    directory = Path(arguments.required("out", USAGE))
    if arguments.ridge and arguments.time:
        raise Refused(f"--ridge={arguments.ridge} and --time={arguments.time} exclude each other")
    ridge = number("ridge", arguments.ridge or str(theory.SHORT))
    stop = number("time", arguments.time) if arguments.time else None
    start = time.perf_counter()
    members = study.members_of(loaded.study).grid.members
    try:
        foreseen = foresight.foresee(members, ridge=ridge, time=stop, validate=True)
    except NotConverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for reason in foreseen.without:
        print(f"left out: {reason}", file=sys.stderr)
    if foreseen.table.empty:
        raise Refused(f"--config={arguments.config}: no member has a kernel: {'; '.join(foreseen.without)}")
    table = foreseen.table.drop_duplicates(subset=foresight.swept(foreseen.table) or None)
    names = [*foresight.swept(table), *(name for name in foresight.NUMBERS if name in table)]
    directory.mkdir(parents=True, exist_ok=True)
    stores.write(directory / "prediction.csv", table[names].to_csv(index=False).encode())
    baselines = study.interpolated(members)
    if "scale" in table and table["scale"].notna().any():
        stores.write(directory / "prediction.png", figures.png(theory_charts.foreseen(table, baselines)))
    print("\n".join([*foresight.said(table), tables.baseline_text(baselines)]))
    print(f"{len(table)} members in {time.perf_counter() - start:.1f} s, none trained; {directory / 'prediction.csv'}")
    return 0


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
