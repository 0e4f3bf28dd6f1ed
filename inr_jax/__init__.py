"""Fit images with coordinate networks, and find out which encoding works at which scale."""

from inr_jax import settings
from inr_jax._version import __version__
from inr_jax.data import images
from inr_jax.data.problem import Data
from inr_jax.fit import metrics
from inr_jax.fit import task as tasks
from inr_jax.fit.design import Design, Hyper, hypers
from inr_jax.fit.task import Task
from inr_jax.kernel.scale_curves import ScaleCurve, best_scale, scale_curve
from inr_jax.runs import export as exports
from inr_jax.runs.environment import use_every_core
from inr_jax.runs.export import load_network
from inr_jax.runs.record import open_run
from inr_jax.settings import Refused
from inr_jax.sweep import optuna as trials
from inr_jax.sweep.ensemble import fit_many
from inr_jax.sweep.fits import Fits, Network
from inr_jax.sweep.halving import fit_halving
