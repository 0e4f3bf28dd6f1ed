"""Draw every activation, as a function of a layer's output, at its defaults.

Of those that learn numbers one draw of them; of pairs the real part for real z; of two maps both are z.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from inr_jax.cli.arguments import Command, positive, run
from inr_jax.fit.activations import ACTIVATIONS, Activation, feed_of
from inr_jax.fit.design import Design, reads
from inr_jax.report import style
from inr_jax.runs import stores
from inr_jax.settings import bind

COLUMNS = 6


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.analysis.activations", __doc__)
    command.add_argument("--out", metavar="FILE", type=Path, required=True, help="FILE.png")
    command.add_argument("--range", metavar="Z", type=positive, default=0.5, help="of z on either side of 0")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    stores.write(request.out, style.png(draw(request.range)))
    print(request.out)
    return 0


def draw(most: float) -> Figure:
    """Plot each activation, for z of this size, in a panel of its own."""
    rows = -(-len(ACTIVATIONS) // COLUMNS)
    figure = Figure(figsize=(11.0, 1.7 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharex=True).ravel()
    z = np.linspace(-most, most, 801, dtype=np.float32)
    for axes, name in zip(panels, ACTIVATIONS, strict=False):
        style.light_axes(axes)
        axes.plot(z, values(name, z), color=style.COLORS[0], linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in panels[len(ACTIVATIONS) :]:
        axes.set_visible(False)
    return figure


def values(name: str, z: np.ndarray) -> np.ndarray:
    """Return the activation of z in a hidden layer, at the defaults of its network."""
    row, defaults = ACTIVATIONS[name], {n: s.default for n, s in reads(Design(network="mlp", activation=name)).items()}
    bound = bind(row, defaults, first=False)
    feed, real = feed_of(row), jnp.asarray(z)[None]
    rows = jnp.concatenate([real, jnp.zeros_like(real)] if feed.pairs else [real] * feed.maps)
    if isinstance(bound, Activation):
        return np.asarray(bound.apply(bound.init(jax.random.key(0)), rows))[0]
    return np.asarray(bound(rows))[0]


if __name__ == "__main__":
    run(main)
