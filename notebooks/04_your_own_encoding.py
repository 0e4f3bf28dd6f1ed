# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Custom encodings and networks
#
# [Open in Colab](https://colab.research.google.com/github/inr-jax/inr_jax/blob/main/notebooks/04_your_own_encoding.ipynb)
#
# Both are plain functions. Their keyword-only parameters (those after `*`) are settings: those of the package, by name,
# and new ones, which have defaults and can be swept like any other.

# %%
# Install the package where it is missing, as on Colab; an installed jax is kept.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("inr_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "inr-jax[notebooks,export]"], check=True)

# %%
import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import inr_jax as inr
from inr_jax.fit import networks

plt.rcParams |= {"figure.dpi": 72, "figure.constrained_layout.use": True, "axes.spines.top": False}
plt.rcParams |= {"axes.spines.right": False, "legend.frameon": False}
# The tests run every cell with small shapes.
FAST = bool(os.environ.get("INR_JAX_FAST"))
inr.use_every_core()

# %% [markdown]
# ## An encoding
#
# A function of coordinates, (n, d), and of a key for random numbers, which is fixed for each member. Here: waves whose
# directions are spread evenly over the half circle, and whose frequencies are drawn uniformly up to `most` cycles.


# %%
def rings(coords, key, *, frequencies: int, most: float = 16.0):
    """Return sin and cos of waves in evenly spread directions, with frequencies uniform up to `most` cycles."""
    angle = jnp.pi * jnp.arange(frequencies) / frequencies
    cycles = most * jax.random.uniform(key, (frequencies, 1))
    waves = 2 * jnp.pi * coords @ (cycles * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)).T
    return jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=-1)


# %% [markdown]
# ## A network
#
# A function that returns a Flax module, which maps features, (n, f), to colours, (n, c). Here: Gaussian activations,
# whose width is a new setting.


# %%
def gauss(channels, *, width: int, depth: int, spread: float = 0.5):
    """Return a network with exp(-(x / spread)²) after each hidden layer."""

    def bump(x):
        return jnp.exp(-((x / spread) ** 2))

    return networks.Mlp(channels, width, depth, bump, networks.torch)


class Gated(nn.Module):
    """A plain Flax module: one hidden layer, half of which gates the other half."""

    channels: int
    width: int

    @nn.compact
    def __call__(self, features):
        """Return the colours of the features."""
        value, gate = jnp.split(nn.Dense(2 * self.width)(features), 2, axis=-1)
        return nn.sigmoid(nn.Dense(self.channels)(value * nn.sigmoid(gate)))


def gated(channels, *, width: int):
    """Return a network with one gated hidden layer."""
    return Gated(channels, width)


# %% [markdown]
# ## Sweep them next to the built-in ones
#
# Floats are traced: they are axes of `hypers`, which looks them up in the design, and all their values share one
# program. Every other setting fixes a shape or a branch, and belongs to the `Design`.

# %%
image = inr.images.load("chelsea", size=32 if FAST else 64)
task = inr.tasks.split(image, "quarter")
common = dict(frequencies=64, width=64, depth=2, steps=20 if FAST else 300)
most = np.geomspace(1, 32, 4 if FAST else 11)

ringed = inr.Design(encoding=rings, **common)
found = {
    "Gaussian features, ReLU": inr.fit_many(inr.Design(**common), inr.hypers(scale=most / 2), task),
    "rings, ReLU": inr.fit_many(ringed, inr.hypers(ringed, most=most), task),
}
gates = inr.Design(encoding=rings, network=gated, **common)
found["rings, gated"] = inr.fit_many(gates, inr.hypers(gates, most=most), task)

plt.figure(figsize=(6, 3.4))
for name, fits in found.items():
    plt.plot(most, fits.psnr_heldout, "o-", markersize=4, label=name)
plt.xscale("log")
plt.xlabel("highest frequency (Gaussian: two standard deviations), cycles per image side")
plt.ylabel("held-out PSNR (dB)")
_ = plt.legend()

# %% [markdown]
# Two custom settings at once, one of the encoding and one of the network:

# %%
spread = np.geomspace(0.1, 3, 3 if FAST else 7)
both = inr.Design(encoding=rings, network=gauss, **common)
surface = inr.fit_many(both, inr.hypers(both, most=most, spread=spread), task)
plt.figure(figsize=(5.2, 3.4))
mesh = plt.pcolormesh(spread, most, surface.psnr_heldout.reshape(len(most), len(spread)), shading="nearest")
plt.xscale("log")
plt.yscale("log")
plt.xlabel("spread of the activation")
plt.ylabel("highest frequency")
_ = plt.colorbar(mesh, label="held-out PSNR (dB)")

# %% [markdown]
# In a study file or on the command line the same functions are named `module:function`, and their settings are fields:
# `--config.design.encoding=my.features:rings --config.axes.most=4,8,16`.
