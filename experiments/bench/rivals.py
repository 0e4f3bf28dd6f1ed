"""The ways to make the same fits, by name.

Each starts from the parameters and frequencies that this package draws, and times its optimizer steps alone:
parameters, features and compiled programs are ready before its clock starts.
"""

from collections.abc import Callable

from experiments.bench.here import Here
from experiments.bench.plain_jax import JaxLoop, JaxVmap
from experiments.bench.problem import Problem, Way
from experiments.bench.pytorch import SirenPyTorch, Torch, TorchCompiled, TorchVmap

WAYS: dict[str, Callable[[Problem], Way]] = {
    "here": Here,
    "torch": Torch,
    "torch-compiled": TorchCompiled,
    "torch-vmap": TorchVmap,
    "siren-pytorch": SirenPyTorch,
    "jax-loop": JaxLoop,
    "jax-vmap": JaxVmap,
}
