"""What is measured of a field: one file for each kind of measurement, with its operator and its classical answer."""

from inr_jax.fit.task import TASKS, Task, as_field, at_pixels, coordinates, measured, pixel_coordinates, places
from inr_jax.tasks.coefficients import fourier
from inr_jax.tasks.derivatives import gradients, laplacian
from inr_jax.tasks.projections import tomography
from inr_jax.tasks.resampling import super_resolution
from inr_jax.tasks.restoration import denoising, inpainting
from inr_jax.tasks.solids import occupancy, signed_distance
from inr_jax.tasks.splits import audio, split, video

__all__ = [
    "TASKS",
    "Task",
    "as_field",
    "at_pixels",
    "audio",
    "coordinates",
    "denoising",
    "fourier",
    "gradients",
    "inpainting",
    "laplacian",
    "measured",
    "occupancy",
    "pixel_coordinates",
    "places",
    "signed_distance",
    "split",
    "super_resolution",
    "tomography",
    "video",
]
