"""The same fits in several ways: by this package, in PyTorch as it is written, compiled and under vmap, in plain JAX.

Every way starts from the parameters and frequencies that this package draws, and times its optimizer steps alone:
parameters, features and whatever is compiled are ready before its clock starts.
"""

import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from inr_jax.data import images
from inr_jax.fit import member as fit
from inr_jax.fit import task as tasks
from inr_jax.fit.design import Design, Hyper, count, member_of, stack
from inr_jax.fit.task import Task
from inr_jax.runs.environment import threads
from inr_jax.sweep import ensemble
from inr_jax.sweep.chunks import chunks, padded
from inr_jax.sweep.fits import Checkpoint

RATE = 1e-3
DEPTH = 3
# Far more steps than anybody takes: a run ends when it has taken its own, and any number of them is the same program.
ENDLESS = 10**9
# How long PyTorch tries each of its variants before it takes the fastest.
TRIAL_SECONDS = 0.3

# Weights (in, out) and biases of a network's layers; with a leading member axis in a Problem.
Layers = list[tuple[Any, Any]]


class Unavailable(Exception):
    """This way is not possible here, and why."""


class Size(NamedTuple):
    """A square image's side, units of a hidden layer, and rows of B."""

    side: int
    width: int
    frequencies: int


SIZES = {
    "256x64": Size(16, 64, 256),
    "256x256": Size(16, 256, 256),
    "16384x256": Size(128, 256, 256),
    "65536x256": Size(256, 256, 1024),
}


class Problem(NamedTuple):
    """Members to be fitted, in the words of this package, and as plain arrays for the others."""

    design: Design
    hypers: Hyper
    task: Task
    coords: np.ndarray
    colors: np.ndarray
    B: np.ndarray
    layers: Layers


class Ran(NamedTuple):
    """Seconds that the steps of all members took, and the first and the last member's layers after them."""

    seconds: float
    ends: tuple[Layers, Layers]


class Way(Protocol):
    """A way to fit a problem's members. `chosen` says which of its variants it found to be the fastest, if it has any.

    That took it `tried` seconds. `run` takes so many steps with every member, from its start.
    """

    chosen: str
    tried: float

    def run(self, steps: int) -> Ran:
        """Take the steps."""


def problem(size: Size, members: int) -> Problem:
    """So many members of a size, with every one's parameters and frequencies before its first step."""
    image = images.load("synthetic:natural_noise", size.side)
    task = tasks.split(np.asarray(image, np.float32), "all")
    design = Design(frequencies=size.frequencies, width=size.width, depth=DEPTH, steps=ENDLESS)
    hypers = hypers_of(members)
    init = jax.jit(jax.vmap(lambda hyper: fit.init(design, hyper, task)))
    state = init(hypers)
    layers = jax.tree.map(np.asarray, kernels(state.params["network"]))
    places = tasks.pixel_coordinates(jnp.asarray(task.train), task.grid, design.domain)
    coords, colors, B = map(np.asarray, (places, task.colors[task.train], state.data["encoding"]["B"]))
    return Problem(design, hypers, task, coords, colors, B, layers)


def hypers_of(members: int) -> Hyper:
    """So many members with scales from 1 to 16 cycles, each with a seed of its own."""
    scales = enumerate(np.geomspace(1, 16, members).tolist())
    return stack([Hyper(scale=scale, seed=seed, learning_rate=RATE) for seed, scale in scales])


def kernels(params: Any) -> Layers:
    """A network's layers as (in, out) weights and biases, from this package's parameters, with any leading axes.

    A `kernel` is (in, out) as Flax has it, a `weight` (out, in). Layers follow one another by their number.
    """
    layers: dict[int, dict[str, Any]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *_, layer, name = (key.key for key in path)
        layers.setdefault(int(layer.rpartition("_")[2]), {})[name] = leaf
    found = (layers[number] for number in sorted(layers))
    return [(e["kernel"] if "kernel" in e else jnp.swapaxes(e["weight"], -1, -2), e["bias"]) for e in found]


def step_flops(size: Size, channels: int = 3) -> float:
    """Floating point operations of one member's step, the same count for every way.

    A multiplication and an addition for each weight and pixel forward, twice that backward, less the gradient of the
    features, that nobody needs.
    """
    features = 2 * size.frequencies
    weights = features * size.width + (DEPTH - 1) * size.width**2 + size.width * channels
    return size.side**2 * (6.0 * weights - 2.0 * features * size.width)


def losses_after(problem: Problem, ends: tuple[Layers, Layers]) -> list[float]:
    """The first and the last member's mean squared error with these layers."""
    every = zip(ends, (problem.B[0], problem.B[-1]), strict=True)
    return [float(_mse(layers, _features(B, problem.coords), problem.colors)) for layers, B in every]


def start_of(problem: Problem, member: int = 0) -> Layers:
    """A member's layers before its first step."""
    return jax.tree.map(lambda leaf: leaf[member], problem.layers)


class Here:
    """This package: its planner's chunks, one after another, each through `ensemble.advance`."""

    chosen, tried = "", 0.0

    def __init__(self, problem: Problem, **asked: Any):
        """Plan, as the planner does or with what is asked of it, and compile."""
        self.problem, self.task = problem, problem.task
        # A block of all pixels is none.
        asked |= {"block": len(self.task.train)} if asked.get("block") == -1 else {}
        self.plan = plan = ensemble.planned(problem.design, problem.hypers, self.task, **asked)
        features = "precomputed" if plan.precompute else "recomputed"
        self.chosen = f"chunk {plan.chunk} over {plan.devices}, block {plan.block or 'all'}, features {features}"

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        rows = chunks(np.arange(count(self.problem.hypers)), self.plan.chunk)
        ends = [self._chunk(padded(each, self.plan.chunk), steps) for each in rows]
        first, last = ((ends[0][1], 0), (ends[-1][1], len(rows[-1]) - 1))
        return Ran(sum(took for took, _ in ends), (_layers_of(*first), _layers_of(*last)))

    def _chunk(self, rows: np.ndarray, steps: int) -> tuple[float, Checkpoint]:
        began = 0.0

        def after(segment: Checkpoint) -> int:
            nonlocal began
            jax.block_until_ready(segment.state)
            now = time.perf_counter()
            if segment.step >= steps:
                raise _Enough(now - began, segment)
            began = began or now
            return min(self.plan.segment, steps - segment.step)

        try:
            # The second point of two is the last step's, which is never reached: nothing but steps is timed.
            hypers = member_of(self.problem.hypers, rows)
            points = np.asarray([0, self.problem.design.steps])
            ensemble.advance(self.problem.design, hypers, self.task, self.plan, points, ENDLESS, after)
        except _Enough as enough:
            return enough.args
        raise AssertionError("a chunk ended before it was stopped")


def _layers_of(segment: Checkpoint, place: int) -> Layers:
    layers = kernels(segment.state.params["network"])
    return [(np.asarray(w)[place], np.asarray(b)[place]) for w, b in layers]


class OneDevice(Here):
    """This package with all members under vmap on one device."""

    def __init__(self, problem: Problem):
        """Plan and compile."""
        with jax.default_device(jax.local_devices()[0]):
            super().__init__(problem, chunk=len(problem.B))

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        with jax.default_device(jax.local_devices()[0]):
            return super().run(steps)


class _Enough(Exception):
    """The steps that were asked for are taken: in so many seconds, and where they led."""


class JaxLoop:
    """Plain JAX as one would write it: a jitted loop over the steps, called for one member after another."""

    chosen, tried = "", 0.0

    def __init__(self, problem: Problem):
        """Compile nothing yet."""
        self.problem = problem
        self.encode, self.fit = _features, _jax_fit
        self.groups: list[Any] = list(range(len(problem.B)))

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        ends, seconds = [], 0.0
        for group in self.groups:
            given = jax.device_put(jax.tree.map(lambda leaf, group=group: leaf[group], self.problem.layers))
            features = self.encode(self.problem.B[group], self.problem.coords)
            colors = jax.block_until_ready((given, features, jax.device_put(self.problem.colors)))[2]
            began = time.perf_counter()
            layers = jax.block_until_ready(self.fit(given, features, colors, np.int32(steps)))
            seconds += time.perf_counter() - began
            ends.append(jax.tree.map(np.asarray, layers))
        return Ran(seconds, self._ends(ends[0], ends[-1]))

    def _ends(self, first: Layers, last: Layers) -> tuple[Layers, Layers]:
        return first, last


class JaxVmap(JaxLoop):
    """The same under vmap, all members at once."""

    def __init__(self, problem: Problem):
        """Compile nothing yet."""
        super().__init__(problem)
        self.encode, self.fit, self.groups = _features_of_all, _jax_fit_all, [slice(None)]

    def _ends(self, first: Layers, last: Layers) -> tuple[Layers, Layers]:
        return jax.tree.map(lambda leaf: leaf[0], first), jax.tree.map(lambda leaf: leaf[-1], last)


def _encode(B, coords):
    turns = 2 * jnp.pi * jnp.matmul(coords, B.T, precision=lax.Precision.HIGHEST)
    return jnp.concatenate([jnp.sin(turns), jnp.cos(turns)], axis=-1)


def _predict(layers, x):
    for w, b in layers[:-1]:
        x = jax.nn.relu(jnp.matmul(x, w, precision=lax.Precision.HIGHEST) + b)
    w, b = layers[-1]
    return jax.nn.sigmoid(jnp.matmul(x, w, precision=lax.Precision.HIGHEST) + b)


def _loss(layers, features, colors):
    return jnp.mean(jnp.square(_predict(layers, features) - colors))


def _fit(layers, features, colors, steps):
    optimizer = optax.adam(RATE)

    def step(_, carry):
        layers, moments = carry
        updates, moments = optimizer.update(jax.grad(_loss)(layers, features, colors), moments)
        return optax.apply_updates(layers, updates), moments

    return lax.fori_loop(0, steps, step, (layers, optimizer.init(layers)))[0]


_features, _mse, _jax_fit = jax.jit(_encode), jax.jit(_loss), jax.jit(_fit)
_features_of_all = jax.jit(jax.vmap(_encode, in_axes=(0, None)))
_jax_fit_all = jax.jit(jax.vmap(_fit, in_axes=(0, 0, None, None)))


class Torch:
    """Eager PyTorch, one member after another; as many threads and whichever Adam turn out to be the fastest."""

    def __init__(self, problem: Problem):
        """Try the variants."""
        if importlib.util.find_spec("torch") is None:
            raise Unavailable("PyTorch is not installed")
        import torch

        self.torch, self.problem = torch, problem
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.colors, self.coords = self._put(problem.colors), self._put(problem.coords)
        self.groups: list[list[int]] = [[member] for member in range(len(problem.B))]
        self._make()
        began, every = time.perf_counter(), threads()
        counts = {1, every} if self.device.type == "cpu" else {every}
        trials = {(fused, n): self._trial(fused, n) for n in sorted(counts) for fused in (False, True)}
        self.fused, self.threads = min(trials, key=trials.__getitem__)
        self.chosen = f"Adam(fused={self.fused}), {self.threads} threads"
        self.tried = time.perf_counter() - began

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        seconds, ends = 0.0, []
        self.torch.set_num_threads(self.threads)
        for group in self.groups:
            parameters, features = self._begin(group)
            optimizer = self.torch.optim.Adam(parameters, lr=RATE, fused=self.fused)
            self._wait()
            began = time.perf_counter()
            for _ in range(steps):
                self._step(optimizer, features)
            self._wait()
            seconds += time.perf_counter() - began
            ends.append(self._layers())
        return Ran(seconds, (ends[0][0], ends[-1][-1]))

    def _trial(self, fused: bool, count: int) -> float:
        """Seconds of a step."""
        self.torch.set_num_threads(count)
        parameters, features = self._begin(self.groups[0])
        optimizer = self.torch.optim.Adam(parameters, lr=RATE, fused=fused)
        self._step(optimizer, features)
        self._wait()
        began, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - began < TRIAL_SECONDS:
            self._step(optimizer, features)
            steps += 1
        self._wait()
        return (time.perf_counter() - began) / steps

    def _make(self) -> None:
        """The network, whose parameters every member in turn starts anew, and its loss."""
        nn = self.torch.nn
        shapes = [w.shape[1:] for w, _ in self.problem.layers]
        hidden = [part for a, b in shapes[:-1] for part in (nn.Linear(a, b), nn.ReLU())]
        self.network = nn.Sequential(*hidden, nn.Linear(*shapes[-1]), nn.Sigmoid()).to(self.device)
        self.loss: Callable = lambda features: nn.functional.mse_loss(self.network(features), self.colors)

    def _begin(self, group: list[int]) -> tuple[list[Any], Any]:
        """Parameters and features of the group's member."""
        parameters = list(self.network.parameters())
        with self.torch.no_grad():
            for there, given in zip(parameters, self._given(group[0]), strict=True):
                there.copy_(given)
        return parameters, self._features(group[0])

    def _step(self, optimizer: Any, features: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.loss(features).backward()
        optimizer.step()

    def _given(self, member: int) -> list[Any]:
        """A member's parameters before its first step, in PyTorch's order and layout."""
        layers = start_of(self.problem, member)
        return [self._put(leaf) for w, b in layers for leaf in (np.ascontiguousarray(w.T), b)]

    def _features(self, member: int) -> Any:
        turns = 2 * np.pi * self.coords @ self._put(self.problem.B[member]).T
        return self.torch.cat([turns.sin(), turns.cos()], -1)

    def _layers(self) -> list[Layers]:
        """The group's members', as the others have them."""
        return [self._layered([leaf.detach() for leaf in self.network.parameters()])]

    def _layered(self, flat: list[Any]) -> Layers:
        flat = [leaf.cpu().numpy().copy() for leaf in flat]
        return [(w.T, b) for w, b in zip(flat[::2], flat[1::2], strict=True)]

    def _put(self, array: np.ndarray) -> Any:
        return self.torch.tensor(np.asarray(array), device=self.device)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()


class TorchCompiled(Torch):
    """The same with network and loss, forward and backward, under torch.compile; on a GPU as a CUDA graph."""

    def _make(self) -> None:
        super()._make()
        self.place = None
        self.loss = self.torch.compile(self.loss, mode="reduce-overhead" if self.device.type == "cuda" else "default")
        try:
            self.loss(self._features(0)).backward()
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            raise Unavailable(f"torch.compile: {type(error).__name__}: {said}") from error

    def _features(self, member: int) -> Any:
        # Always at the same place: a CUDA graph would copy them at every step.
        features = super()._features(member)
        if self.place is None:
            self.torch._dynamo.mark_static_address(features)
            self.place = features
        elif features is not self.place:
            self.place.copy_(features)
        return self.place


class TorchVmap(Torch):
    """All members at once: torch.func.vmap over stacked parameters, and one Adam over all of them."""

    def _make(self) -> None:
        super()._make()
        self.groups = [list(range(len(self.problem.B)))]
        func, mse = self.torch.func, self.torch.nn.functional.mse_loss
        self.names = [name for name, _ in self.network.named_parameters()]
        self.stacked: list[Any] = []
        one = lambda given, features: mse(func.functional_call(self.network, given, (features,)), self.colors)  # noqa: E731
        of_all = func.vmap(one)
        # The members' losses are independent: the gradient of their sum holds each one's own.
        self.loss = lambda features: of_all(dict(zip(self.names, self.stacked, strict=True)), features).sum()

    def _begin(self, group: list[int]) -> tuple[list[Any], Any]:
        given = [self._given(member) for member in group]
        self.stacked = [self.torch.stack(leaves).requires_grad_() for leaves in zip(*given, strict=True)]
        # Filled one by one: a list of them would hold them twice.
        features = self._features(group[0])
        every = features.new_empty((len(group), *features.shape))
        for place, member in enumerate(group):
            every[place] = self._features(member)
        return self.stacked, every

    def _layers(self) -> list[Layers]:
        return [self._layered([leaf.detach()[place] for leaf in self.stacked]) for place in (0, -1)]


WAYS: dict[str, Callable[[Problem], Way]] = {
    "here": Here,
    "torch": Torch,
    "torch-compiled": TorchCompiled,
    "torch-vmap": TorchVmap,
    "jax-loop": JaxLoop,
    "jax-vmap": JaxVmap,
}

# This package with another plan than the planner's: what its rule is measured by.
PLANS: dict[str, Callable[[Problem], Way]] = {
    "one-member": partial(Here, chunk=1),
    "vmap-on-one-device": OneDevice,
    "chunk-8": partial(Here, chunk=8),
    "block-512": partial(Here, block=512),
    "block-2048": partial(Here, block=2048),
    "block-8192": partial(Here, block=8192),
    "block-all": partial(Here, block=-1),
    "recomputed": partial(Here, features="recomputed"),
    "precomputed": partial(Here, features="precomputed"),
}


def sweep_steps(problem: Problem, steps: int) -> Problem:
    """The problem with a last step: one that ends, and has training curves on the way."""
    return problem._replace(design=problem.design.replace(steps=steps))
