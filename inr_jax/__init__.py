"""Fit images with coordinate networks, and find out which encoding works at which scale."""

__version__ = "0.1.0"

from inr_jax import exports, images, metrics, settings, tasks, trials
from inr_jax.ensemble import Fits, Network, fit_many
from inr_jax.exports import load_network
from inr_jax.halving import fit_halving
from inr_jax.machine import use_every_core
from inr_jax.records import open_run
from inr_jax.settings import Design, Hyper, Refused, hypers
from inr_jax.tasks import Task
from inr_jax.theory import ScaleCurve, best_scale, scale_curve
