"""PyTorch as rivals: eager, compiled, and under vmap; imported only where it is installed."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.bench.problem import OMEGA, RATE, Layers, Problem, Ran, Unavailable, start_of
from inr_jax.runs.environment import threads

# How long each variant is tried before the fastest is taken.
TRIAL_SECONDS = 0.3


class Torch:
    """Eager PyTorch, one member after another, with the fastest number of threads and implementation of Adam."""

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
        """Make the network, whose parameters are overwritten for every member, and its loss."""
        nn = self.torch.nn
        self.network = self._network([w.shape[1:] for w, _ in self.problem.layers]).to(self.device)
        self.loss: Callable = lambda features: nn.functional.mse_loss(self.network(features), self.colors)

    def _network(self, shapes: list[tuple[int, int]]) -> Any:
        """A network of layers of these shapes, (in, out)."""
        torch, nn = self.torch, self.torch.nn

        class Sine(self.torch.nn.Module):  # type: ignore[name-defined]
            def forward(self, z: Any) -> Any:
                return torch.sin(OMEGA * z)

        kind, last = (nn.ReLU, nn.Sigmoid()) if self.problem.network == "relu" else (Sine, nn.Identity())
        hidden = [part for a, b in shapes[:-1] for part in (nn.Linear(a, b), kind())]
        return nn.Sequential(*hidden, nn.Linear(*shapes[-1]), last)

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
        if not len(self.problem.B[member]):
            return self.coords
        turns = 2 * np.pi * self.coords @ self._put(self.problem.B[member]).T
        return self.torch.cat([turns.sin(), turns.cos()], -1)

    def _layers(self) -> list[Layers]:
        """The layers of the group's members, in the layout of the problem."""
        return [self._to_layers([leaf.detach() for leaf in self.network.parameters()])]

    def _to_layers(self, flat: list[Any]) -> Layers:
        flat = [leaf.cpu().numpy().copy() for leaf in flat]
        return [(w.T, b) for w, b in zip(flat[::2], flat[1::2], strict=True)]

    def _put(self, array: np.ndarray) -> Any:
        return self.torch.tensor(np.asarray(array), device=self.device)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()


class SirenPyTorch(Torch):
    """The network of the package siren-pytorch, in the same loop."""

    def __init__(self, problem: Problem):
        """Try the variants."""
        if problem.network != "siren":
            raise Unavailable("siren-pytorch has no other network")
        if importlib.util.find_spec("siren_pytorch") is None:
            raise Unavailable("siren-pytorch is not installed")
        super().__init__(problem)

    def _network(self, shapes: list[tuple[int, int]]) -> Any:
        from siren_pytorch import SirenNet

        dims = {"dim_in": shapes[0][0], "dim_hidden": shapes[0][1], "dim_out": shapes[-1][1]}
        return SirenNet(**dims, num_layers=len(shapes) - 1, w0=OMEGA, w0_initial=OMEGA)


class TorchCompiled(Torch):
    """The same with network and loss, forward and backward, under torch.compile; on a GPU as a CUDA graph."""

    def _make(self) -> None:
        super()._make()
        self.place = None
        self.loss = self.torch.compile(self.loss, mode="reduce-overhead" if self.device.type == "cuda" else "default")
        try:
            self.loss(self._features(0)).backward()
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise Unavailable(f"torch.compile: {type(error).__name__}: {reason}") from error

    def _features(self, member: int) -> Any:
        # Always at the same address: a CUDA graph would copy them at every step.
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
        return [self._to_layers([leaf.detach()[place] for leaf in self.stacked]) for place in (0, -1)]
