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
# # Fit an image
#
# [Open in Colab](https://colab.research.google.com/github/inr-jax/inr_jax/blob/main/notebooks/01_fit_an_image.ipynb)
#
# A small network whose only input is a pixel's coordinates learns an image. How well depends on how the coordinates are
# encoded. A minute on two CPU cores.

# %%
# Install the package where it is missing, as on Colab; an installed jax is kept.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("inr_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "inr-jax[notebooks,export]"], check=True)

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import inr_jax as inr

plt.rcParams |= {"figure.dpi": 72, "figure.constrained_layout.use": True}
# The tests run every cell with small shapes.
FAST = bool(os.environ.get("INR_JAX_FAST"))
inr.use_every_core()

# %% [markdown]
# ## The image
#
# A photograph from scikit-image. Set `path` to use another, or `UPLOAD = True` to choose one on Colab.

# %%
path, UPLOAD = "astronaut", False
if UPLOAD:
    from google.colab import files

    (path,) = files.upload()
image = inr.images.load(path, size=32 if FAST else 128)  # float32 in [0, 1], (h, w, c)
task = inr.tasks.split(image, "quarter")  # trained on every second pixel of every second row
print(f"{image.shape[1]}x{image.shape[0]} pixels: {len(task.train)} to train on, {len(task.heldout)} held out")

# %% [markdown]
# ## Two encodings
#
# The same network on plain coordinates, and on Gaussian Fourier features of three scales, which are fitted together.

# %%
steps = 20 if FAST else 300
plain = inr.Design(encoding="identity", width=128, depth=3, steps=steps)
fourier = inr.Design(encoding="gaussian", frequencies=128, width=128, depth=3, steps=steps)
coordinates = inr.fit_many(plain, inr.hypers(), task, history=24)  # points of the curves below
features = inr.fit_many(fourier, inr.hypers(scale=[1, 5, 30]), task, history=24)

names = ["coordinates", *(f"scale {scale:g}" for scale in features.hypers.scale)]
members = [(coordinates, 0), *((features, member) for member in range(3))]
figure, axes = plt.subplots(1, 5, figsize=(15, 3.4))
axes[0].imshow(image.squeeze(), cmap="gray")
axes[0].set_title("the image")
for place, name, (fits, member) in zip(axes[1:], names, members, strict=True):
    place.imshow(fits.predict(member, image.shape[:2]).clip(0, 1).squeeze(), cmap="gray")
    place.set_title(f"{name}: {fits.psnr_heldout[member]:.1f} dB held out", fontsize=10)
for place in axes:
    place.set_axis_off()

# %% [markdown]
# Too small a scale blurs; too large a scale turns to noise between the training pixels, and the training pixels give no
# warning:

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
for name, (fits, member) in zip(names, members, strict=True):
    axes[0].plot(fits.history_step, fits.history_train[member], label=name)
    axes[1].plot(fits.history_step, fits.history_heldout[member], label=name)
for place, said in zip(axes, ("training pixels", "held-out pixels"), strict=True):
    place.set(xscale="symlog", xlabel="step", title=said)
axes[0].set_ylabel("PSNR (dB)")
_ = axes[0].legend(frameon=False)

# %% [markdown]
# ## Draw it at any size, and save it
#
# A fitted network can be drawn at any size: here a corner of it, with four times as many pixels along each side. It is
# saved with its settings in one file.

# %%
best = int(np.argmax(features.psnr_heldout))
large = features.predict(best, tuple(4 * side for side in image.shape[:2]))
figure, axes = plt.subplots(1, 2, figsize=(8, 4))
part = image.shape[0] // 4
cuts = image[part : 2 * part, part : 2 * part], large[4 * part : 8 * part, 4 * part : 8 * part].clip(0, 1)
for place, cut in zip(axes, cuts, strict=True):
    place.imshow(cut.squeeze(), cmap="gray", interpolation="nearest")
for place in axes:
    place.set_axis_off()

# %%
file = Path(tempfile.mkdtemp()) / "member.safetensors"
file.write_bytes(inr.exports.to_safetensors(features.network(best)))
again = inr.load_network(file)
same = np.array_equal(again.predict(image.shape[:2]), features.predict(best, image.shape[:2]))
print(f"{file.stat().st_size / 1024:.0f} KiB; predicts the same: {same}")
