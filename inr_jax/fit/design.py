"""The settings of one member in two halves: `Design`, static, and `Hyper`, traced; and which functions read them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import jax
import numpy as np
from jaxtyping import Int

from inr_jax.fit.grids import ENCODINGS
from inr_jax.fit.networks import NETWORKS
from inr_jax.fit.optimizers import AVERAGES, GROUPS, LOSSES, OPTIMIZERS, SCHEDULES
from inr_jax.fit.penalties import PENALTIES
from inr_jax.fit.queries import QUERIES
from inr_jax.fit.task import side
from inr_jax.settings import Refused, Setting, about, bind, catalogue, nearest, settle
from inr_jax.values import Checked, Settings

# Shapes that a number of parameters may leave open.
SHAPES = ("width", "rank")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What a fit consists of, as declarations; `assemble` gives it with functions in the place of their names."""

    encoding: Annotated[Any, about("coordinates to features", choices=ENCODINGS)] = "gaussian"
    domain: Annotated[str, about("coordinates in [0, 1) or [-1, 1]", choices=("unit", "signed"))] = "unit"
    network: Annotated[Any, about("features to values", choices=NETWORKS)] = "relu"
    loss: Annotated[Any, about("minimised: mean squared or absolute error", choices=LOSSES)] = "mse"
    optimizer: Annotated[Any, about("update rule", choices=OPTIMIZERS)] = "adam"
    learning_rate: Annotated[Any, about("of the optimizer, before its schedule", low=0.0)] = 1e-3
    schedule: Annotated[
        Any,
        about(
            "learning rate over the steps: as it is, to 0, to a tenth, or a tenth after 10 epochs without a better "
            "loss",
            choices=SCHEDULES,
        ),
    ] = "constant"
    steps: Annotated[int, about("optimizer steps", "steps", low=0)] = 2000
    pixels: Annotated[int, about("pixels a step, drawn at random; 0: all", "pixels", low=0)] = 0
    replacement: Annotated[
        bool, about("pixels of a step are drawn with replacement", when=lambda settings: settings["pixels"] > 0)
    ] = True
    query: Annotated[Any, about("where the field is queried in training", choices=QUERIES)] = "exact"
    penalty: Annotated[Any, about("added to the loss", choices=PENALTIES)] = "none"
    average: Annotated[
        Any, about("average of the parameters over the steps, used instead of the last", choices=AVERAGES)
    ] = "none"
    groups: Annotated[Any, about("parameter groups with separate update rules", choices=GROUPS)] = "one"
    parameters: Annotated[
        int, about("real numbers to train, at most; 0: as many as the other settings make", low=0)
    ] = 0
    solve_for: Annotated[
        str,
        about(
            "shape that `parameters` leaves open",
            choices=SHAPES,
            when=lambda settings: settings["parameters"] > 0,
        ),
    ] = "width"
    seed: Annotated[Any, about("of B, the parameters and the drawn pixels", low=0)] = 0


class Design(Checked):
    """The static half of a member's settings: hashable, one compilation for each.

    It holds the static settings that its functions read, "auto" resolved, and no others: `Design(encoding="gaussian",
    frequencies=256)`. Raises Refused for a name or a value that is not allowed.
    """

    root, traced = Fit, False

    def __init__(self, **given: Any) -> None:
        """The given settings, all others at their defaults; those that the chosen functions do not read are dropped."""
        super().__init__(**given)
        if given.get("learn_frequencies") and "learn_frequencies" not in self:
            raise Refused(f"learn_frequencies=True needs an encoding with a B, not {self.encoding!r}")


class Hyper(Settings):
    """The traced half of a member's settings: a pytree of scalars, or with a leading member axis (`hypers`)."""

    def __init__(self, **values: Any) -> None:
        """These settings; all others have their defaults."""
        super().__init__({"seed": 0, **values})

    def replace(self, **changes: Any) -> "Hyper":
        """The same with other values of some settings."""
        return Hyper(**{**self, **changes})


def _flatten(hyper: Hyper) -> tuple[tuple, tuple]:
    names = tuple(sorted(hyper))
    return tuple((jax.tree_util.GetAttrKey(name), hyper[name]) for name in names), names


jax.tree_util.register_pytree_with_keys(
    Hyper, _flatten, lambda names, values: Hyper(**dict(zip(names, values, strict=True)))
)


def hypers(design: Design | None = None, /, **axes: Any) -> Hyper:
    """The product over the given settings as one Hyper with a leading member axis, the last one fastest.

    `hypers(scale=[1, 2], seed=[0, 1])` has four members. Settings of custom functions are known by the design that
    names these: `hypers(design, most=[4.0, 8.0])`. Raises Refused for a name or a value that is not allowed.

    Examples:
        >>> members = hypers(scale=[1, 2], seed=[0, 1])
        >>> members.scale.tolist(), members.seed.tolist()
        ([1.0, 1.0, 2.0, 2.0], [0, 1, 0, 1])
    """
    known = {n: s for n, s in ({**catalogue(Fit), **reads(design or Design())}).items() if s.traced}
    columns = {name: np.atleast_1d(values).tolist() for name, values in axes.items()}
    for name, column in columns.items():
        if name not in known:
            raise Refused(f"hyper {name!r} is not known; {nearest(name, known)}")
        if not column:
            raise Refused(f"{name}=[] is empty: at least one value is needed")
        columns[name] = [known[name].convert(value) for value in column]
    rows = itertools.product(*columns.values())
    return stack([Hyper(**{"seed": 0, **dict(zip(columns, row, strict=True))}) for row in rows])


def reads(design: Design) -> dict[str, Setting]:
    """The settings that members of this design read, by name; no other makes a difference to them."""
    return settle(Fit, design)[0]


def complete(design: Design, members: Hyper) -> Hyper:
    """The Hyper with exactly the traced settings that the design reads, those that are missing at their defaults.

    Raises Refused for a name that the design does not read and the package does not know.
    """
    read = {name: setting for name, setting in reads(design).items() if setting.traced}
    known = {**catalogue(Fit), **read}
    for name in members:
        if name not in known:
            raise Refused(f"hyper {name!r} is not known; {nearest(name, known)}")
    shape = np.shape(members.seed)
    for name in read:
        if name in members:
            _check_column(read[name], members[name], shape)
    return Hyper(
        **{
            name: members[name] if name in members else np.full(shape, setting.default, _dtype(name))
            for name, setting in read.items()
        }
    )


def _check_column(setting: Setting, values: Any, shape: tuple[int, ...]) -> None:
    """Raises Refused where the values of a setting are not one for each seed, or one is not allowed."""
    if np.shape(values) != shape:
        raise Refused(f"{setting.name} has shape {np.shape(values)}: one value for each seed, {shape}, is needed")
    if shape:  # of a single member they may be traced
        for value in {np.min(values).item(), np.max(values).item()}:  # NaN is both
            setting.convert(value)


def assemble(design: Design, hyper: Mapping[str, Any]) -> Fit:
    """What the settings name: `encoding.apply`, `network(channels)`, `optimizer(rate)`, ..., each bound to its own."""
    return bind(Fit, {**_defaults(design), **design, **hyper}, side=side(design.domain))()


@lru_cache(maxsize=1024)
def _defaults(design: Design) -> Mapping[str, Any]:
    return {name: setting.default for name, setting in reads(design).items()}


def stack(members: Sequence[Hyper]) -> Hyper:
    """Hypers as one, with a leading member axis: float32, the seed int32."""
    return Hyper(**{name: np.asarray([each[name] for each in members], _dtype(name)) for name in members[0]})


def member_of(hypers: Hyper, index: Any) -> Hyper:
    """The Hyper of one member, or of several (an index array), of a stacked one."""
    return jax.tree.map(lambda column: column[index], hypers)


def count(hypers: Hyper) -> int:
    """The number of members of a stacked Hyper."""
    return len(hypers.seed)


def settings_of(hypers: Hyper) -> Int[np.ndarray, " m"]:
    """A number for each member's setting: members that differ in their seed alone have the same, and stay together."""
    columns = [np.asarray(values, np.float64) for name, values in hypers.items() if name != "seed"]
    if not columns:
        return np.zeros(count(hypers), int)
    return np.unique(np.stack(columns), axis=1, return_inverse=True)[1].ravel()


def _dtype(name: str) -> Any:
    return np.int32 if name == "seed" else np.float32
