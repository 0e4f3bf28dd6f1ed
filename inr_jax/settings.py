"""The settings of a fit and what they mean; nothing else.

A setting is static or traced by its type. A `Design` holds whatever fixes a shape or a Python branch: one compilation
for each. A `Hyper` holds the numbers inside the program: a pytree of scalars, swept by a leading member axis. `Data`
says what is fitted, `Run` how a study is carried out. A `Study` is all four with the axes and cases that vary.
"""

import dataclasses
import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

LARGEST = 2**31 - 1
# Host functions take either: what NumPy made and what a device holds.
AnyArray = jax.Array | np.ndarray


class Refused(ValueError):
    """A request that cannot be met: one line with the value, what is allowed, and the nearest right one."""


def setting(
    default,
    help: str,
    unit: str = "",
    choices: Sequence[str] = (),
    open: bool = False,
    low=None,
    above=None,
    high=None,
):
    """A dataclass field that knows its meaning, unit and range; `open` choices also take `module:function`."""
    high = LARGEST if high is None and type(default) is int else high
    metadata = dict(help=help, unit=unit, choices=tuple(choices), open=open, low=low, above=above, high=high)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Data:
    """What is fitted: an image, its size, and which of its pixels are trained on."""

    image: str = setting("astronaut", "a path, a scikit-image sample's name, synthetic:NAME, or module:function")
    size: int = setting(
        512,
        "side of the image (of resize=fit the longer one), length of a signal; 0: as it is",
        "pixels",
        low=0,
        high=2**14,
    )
    resize: str = setting(
        "crop", "to a square: centre crop, or stretch; fit: the shape is kept", choices=("crop", "stretch", "fit")
    )
    background: float = setting(1.0, "behind what is transparent in a file: 0 black, 1 white", low=0.0, high=1.0)
    split: str = setting(
        "quarter",
        "trained on: all; [::2, ::2] (held out: [1::2, 1::2], the rest neither); even rows; even row + column; a "
        "random part (but for quarter, the others are held out)",
        choices=("all", "quarter", "rows", "checkerboard", "random"),
    )
    fraction: float = setting(0.25, "part of the pixels that split=random trains on", above=0.0, high=1.0)
    split_seed: int = setting(0, "seed of split=random and of the validation part", low=0)
    validation: float = setting(
        0.0,
        "above 0: the split's held-out pixels are put away, and this part of its training pixels is held out instead",
        low=0.0,
        high=0.5,
    )
    own: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Design:
    """The static half of a member's settings: hashable, one compilation for each."""

    encoding: str | Callable = setting(
        "gaussian",
        "coordinates to features",
        choices=("identity", "basic", "dyadic", "positional", "gaussian", "octaves"),
        open=True,
    )
    frequencies: int = setting(256, "rows of B", low=1)
    octaves: int = setting(10, "k = 0 ... octaves - 1 in dyadic and octaves", low=1, high=24)
    family: str = setting(
        "gaussian",
        "distribution of B's rows, scale is the standard deviation of each",
        choices=("gaussian", "uniform", "loguniform", "laplace"),
    )
    learn_frequencies: bool = setting(False, "B is a parameter, not data")
    domain: str = setting("unit", "coordinates in [0, 1) or [-1, 1]", choices=("unit", "signed"))
    network: str | Callable = setting("relu", "features to colours", choices=("relu", "siren"), open=True)
    width: int = setting(256, "units of a hidden layer", low=1)
    depth: int = setting(3, "hidden layers", low=1, high=256)
    init: str = setting(
        "auto",
        "of weights and biases; auto: flax (LeCun normal) for relu, siren for siren; glorot: as Tancik et al. 2020",
        choices=("auto", "flax", "torch", "glorot", "siren"),
    )
    output: str = setting(
        "auto",
        "last layer; auto: sigmoid for relu, linear for siren",
        choices=("auto", "sigmoid", "linear"),
    )
    optimizer: str = setting("adam", "update rule", choices=("adam", "adamw", "sgd", "muon"))
    schedule: str = setting(
        "constant",
        "learning rate over the steps: as it is, to 0, to a tenth, or a tenth after 10 epochs without a better loss",
        choices=("constant", "cosine", "exponential", "plateau"),
    )
    steps: int = setting(2000, "optimizer steps", "steps", low=0)
    pixels: int = setting(0, "pixels a step, drawn with replacement; 0: all", "pixels", low=0)
    loss: str = setting("mse", "what is minimised", choices=("mse",))
    precision: str = setting("float32", "of the hidden products", choices=("float32", "tf32", "bfloat16"))
    own: tuple[tuple[str, Any], ...] | Mapping[str, Any] = ()

    def __post_init__(self) -> None:
        """Take the parameters of functions of one's own as a dictionary too."""
        object.__setattr__(self, "own", tuple(sorted(dict(self.own).items())))


@dataclasses.dataclass(frozen=True)
class Hyper:
    """The traced half of a member's settings: a pytree of scalars (with a leading member axis, `hypers`)."""

    scale: Any = setting(
        10.0,
        "standard deviation of B's rows (positional: highest exponent)",
        "cycles per image side",
        low=0.0,
    )
    anisotropy: Any = setting(1.0, "the columns' scale over the rows', in two dimensions", above=0.0)
    omega_0: Any = setting(30.0, "factor inside SIREN's sines", "radians", above=0.0)
    learning_rate: Any = setting(1e-3, "of the optimizer, before its schedule", low=0.0)
    weight_decay: Any = setting(1e-2, "of adamw, times the learning rate", low=0.0)
    seed: Any = setting(0, "of B, the parameters and the drawn pixels", low=0)
    own: dict[str, Any] = dataclasses.field(default_factory=dict)


jax.tree_util.register_dataclass(Hyper, [f.name for f in dataclasses.fields(Hyper)], [])


@dataclasses.dataclass(frozen=True)
class Run:
    """How a study is carried out; but for `keep`, and where `centre` puts the scales, no result depends on it."""

    chunk: int = setting(0, "members fitted at once; 0: the planner decides", low=0, high=2**16)
    pixel_block: int = setting(0, "pixels a gradient is accumulated over; 0: the planner decides", low=0)
    features: str = setting(
        "auto",
        "made at every step, or kept over the steps where all take the same pixels; auto: the planner decides",
        choices=("auto", "recomputed", "precomputed"),
    )
    checkpoint_seconds: float = setting(
        60.0, "seconds between two checkpoints of an unfinished chunk, at most", "seconds", low=0.0
    )
    keep: float = setting(
        1.0,
        "successive halving: part of the settings of one design on one image that is fitted on from 1/16, 1/8, 1/4, "
        "1/2 of the steps; 1: all",
        above=0.0,
        high=1.0,
    )
    history: int = setting(24, "points of the training curves that are kept", low=2, high=10_000)
    sinks: str = setting("", "trackers to report to: wandb, wandb-members, tensorboard, module:class; commas between")
    engine: str = setting(
        "here", "where chunks run: in this process, or as tasks of a Ray cluster", choices=("here", "ray")
    )
    cpus: float = setting(1.0, "cores of a Ray task", above=0.0)
    gpus: float = setting(0.0, "GPUs of a Ray task", low=0.0)
    theory: bool = setting(False, "the report also shows what kernel regression predicts without training")
    centre: bool = setting(False, "axes.scale are multiples of the scale that the kernel chooses from training pixels")


@dataclasses.dataclass(frozen=True)
class Study:
    """A study as it was asked for: base settings by name, the axes' values, the cases, and how to run it.

    `second` are the axes of a second stage, where they have other values than in the first.
    """

    name: str
    variant: str
    settings: Mapping[str, Any]
    axes: Mapping[str, tuple]
    cases: tuple[Mapping[str, Any], ...]
    run: Run
    second: Mapping[str, tuple] = dataclasses.field(default_factory=dict)


GROUPS = {"data": Data, "design": Design, "hyper": Hyper, "run": Run}
FIELDS: dict[str, dataclasses.Field] = {
    f.name: f for group in (Data, Design, Hyper) for f in dataclasses.fields(group) if f.name != "own"
}


def hypers(own: Mapping[str, Any] | None = None, **axes: Any) -> Hyper:
    """The product over the given settings as one Hyper with a leading member axis, the last one fastest.

    `hypers(scale=[1, 2], seed=[0, 1])` has four members. `own` are those that functions of one's own read, numbers
    inside the program; whatever fixes a shape there belongs into `Design(own={...})`.
    Raises Refused for a name or a value that is not allowed.

    >>> members = hypers(scale=[1, 2], seed=[0, 1])
    >>> members.scale.tolist(), members.seed.tolist()
    ([1.0, 1.0, 2.0, 2.0], [0, 1, 0, 1])
    """
    own = own or {}
    fields = {f.name: f for f in dataclasses.fields(Hyper) if f.name != "own"}
    columns = {name: np.atleast_1d(values).tolist() for name, values in {**axes, **own}.items()}
    for name, column in columns.items():
        if name not in fields and name not in own:
            raise Refused(f"hyper {name!r} is not known; {nearest(name, fields)}")
        if not column:
            raise Refused(f"{name}=[] is empty: at least one value is needed")
    members = [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]
    made = []
    for member in members:
        brought = {name: float(member.pop(name)) for name in own}
        made.append(Hyper(**{name: convert(name, value) for name, value in member.items()}, own=brought))
    return stack(made)


def stack(members: Sequence[Hyper]) -> Hyper:
    """Hypers as one, with a leading member axis: float32, the seed int32."""
    return jax.tree.map(lambda *values: np.asarray(values, _dtype(values[0])), *members)


def member_of(hypers: Hyper, index) -> Hyper:
    """The Hyper of one member, or of several (an index array), of a stacked one."""
    return jax.tree.map(lambda column: column[index], hypers)


def count(hypers: Hyper) -> int:
    """How many members a stacked Hyper has."""
    return len(hypers.seed)


def values(design: Design, hyper: Hyper) -> dict[str, Any]:
    """Every setting of a member by name, for those who read some of them by keyword."""
    static = {f.name: getattr(design, f.name) for f in dataclasses.fields(Design) if f.name != "own"}
    traced = {f.name: getattr(hyper, f.name) for f in dataclasses.fields(Hyper) if f.name != "own"}
    return static | dict(design.own) | traced | hyper.own


def convert(name: str, value: Any, field: dataclasses.Field | None = None) -> Any:
    """The value in its field's type (1 and 1.0 become the same); raises Refused if it is not allowed there."""
    field = field or FIELDS[name]
    kind: Any = type(field.default)
    meta = field.metadata
    plain = value.item() if isinstance(value, np.generic) else value
    number = isinstance(plain, int | float) and not isinstance(plain, bool)
    if kind is float:
        # Beyond float32 there is nothing to compute with.
        good = number and abs(plain) < 3.4e38
    elif kind is int:
        good = number and (isinstance(plain, int) or plain.is_integer())
    else:
        good = isinstance(plain, kind)
    plain = kind(plain) if good else plain
    if not good:
        wanted = {
            float: "a finite number",
            int: "a whole number",
            bool: "True or False",
            str: "text",
        }[kind]
        raise Refused(f"{name}={value!r} is not {wanted}")
    choices = meta.get("choices", ())
    if choices and plain not in choices and not (meta["open"] and ":" in plain):
        raise Refused(f"{name}={plain!r} is not known; {nearest(plain, choices)}")
    for word, bound, right in (
        ("at least", meta.get("low"), lambda b: plain >= b),
        ("above", meta.get("above"), lambda b: plain > b),
        ("at most", meta.get("high"), lambda b: plain <= b),
    ):
        if bound is not None and not right(bound):
            raise Refused(f"{name}={plain!r} is out of range: it must be {word} {bound}")
    return plain


def nearest(word: str, known: Iterable[str]) -> str:
    """What is allowed, and which of it was probably meant, as half a sentence.

    >>> nearest("siern", ["relu", "siren"])
    "did you mean 'siren'? allowed: relu, siren"
    """
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(known)}"


def _dtype(value) -> Any:
    return np.int32 if isinstance(value, int) else np.float32
