"""Fit images with coordinate networks, and find out which encoding works at which scale.

Public names are imported when first used: programs that only fit need neither pandas nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inr_jax._version import __version__

if TYPE_CHECKING:
    from inr_jax import settings, tasks
    from inr_jax.data import images
    from inr_jax.data.problem import Data
    from inr_jax.fit import metrics
    from inr_jax.fit.budget import count_parameters, sized
    from inr_jax.fit.design import Design, Hyper, hypers
    from inr_jax.fit.task import Task
    from inr_jax.kernel.scale_curves import ScaleCurve, best_scale, scale_curve
    from inr_jax.runs import export as exports
    from inr_jax.runs.environment import use_every_core
    from inr_jax.runs.export import load_network
    from inr_jax.runs.results import open_run
    from inr_jax.settings import Refused
    from inr_jax.sweep import optuna as trials
    from inr_jax.sweep.ensemble import fit_many
    from inr_jax.sweep.fits import Fits, Network
    from inr_jax.sweep.halving import fit_halving
    from inr_jax.sweep.sampling import sobol
    from inr_jax.sweep.together import Together

# The same for Python: public modules, and where the other public names are defined.
MODULES = {
    "settings": "settings",
    "images": "data.images",
    "metrics": "fit.metrics",
    "tasks": "tasks",
    "exports": "runs.export",
    "trials": "sweep.optuna",
}
NAMES = {
    "Data": "data.problem",
    "Design": "fit.design",
    "Hyper": "fit.design",
    "hypers": "fit.design",
    "count_parameters": "fit.budget",
    "sized": "fit.budget",
    "Task": "fit.task",
    "ScaleCurve": "kernel.scale_curves",
    "best_scale": "kernel.scale_curves",
    "scale_curve": "kernel.scale_curves",
    "use_every_core": "runs.environment",
    "load_network": "runs.export",
    "open_run": "runs.results",
    "Refused": "settings",
    "fit_many": "sweep.ensemble",
    "Fits": "sweep.fits",
    "Network": "sweep.fits",
    "fit_halving": "sweep.halving",
    "sobol": "sweep.sampling",
    "Together": "sweep.together",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in MODULES | NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{(MODULES | NAMES)[name]}")
    globals()[name] = module if name in MODULES else getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(["__version__", *MODULES, *NAMES])
