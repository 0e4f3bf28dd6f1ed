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
# # Scale against PSNR
#
# [Open in Colab](https://colab.research.google.com/github/inr-jax/inr_jax/blob/main/notebooks/02_scale_against_psnr.ipynb)
#
# Which scale of Fourier features suits an image? All scales and seeds are fitted by one compiled program. A minute on
# two CPU cores.

# %%
# Install the package where it is missing, as on Colab; an installed jax is kept.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("inr_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "inr-jax[notebooks,export]"], check=True)

# %%
import os

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

import inr_jax as inr

plt.rcParams |= {"figure.dpi": 72, "figure.constrained_layout.use": True, "axes.spines.top": False}
plt.rcParams |= {"axes.spines.right": False, "legend.frameon": False}
# The tests run every cell with small shapes.
FAST = bool(os.environ.get("INR_JAX_FAST"))
inr.use_every_core()

# %%
image = inr.images.load("astronaut", size=32 if FAST else 64)
task = inr.tasks.split(image, "quarter")
design = inr.Design(encoding="gaussian", frequencies=128, width=128, depth=3, init="glorot", steps=20 if FAST else 300)
scales = np.geomspace(0.5, 32, 5 if FAST else 13)
seeds = [0, 1, 2]
fits = inr.fit_many(design, inr.hypers(scale=scales, seed=seeds), task)
psnr = {name: getattr(fits, name).reshape(len(scales), len(seeds)) for name in ("psnr_train", "psnr_heldout")}

# %% [markdown]
# The mean over the seeds, and their range. Dashed: the prediction of the neural tangent kernel, without training.

# %%
theory = inr.scale_curve(design, scales, task)
plt.figure(figsize=(6, 3.6))
for (name, values), style in zip(psnr.items(), (":", "-"), strict=True):
    plt.plot(scales, values.mean(1), style, color="C0", label=name)
    plt.fill_between(scales, values.min(1), values.max(1), color="C0", alpha=0.2, linewidth=0)
plt.plot(scales, theory.psnr_heldout, "--", color="C1", label="kernel, held out")
plt.xscale("log")
plt.xlabel("scale (cycles per image side)")
plt.ylabel("PSNR (dB)")
_ = plt.legend()

# %%
oracle = scales[psnr["psnr_heldout"].mean(1).argmax()]
chosen = inr.best_scale(design, task)
print(f"best on the held-out pixels (oracle): scale {oracle:.3g}")
print(f"chosen by the kernel from the training pixels alone: {chosen.scale:.3g}")
print(f"within 0.2 dB of that: {chosen.low:.3g} to {chosen.high:.3g}")

# %% [markdown]
# ## Slide through the scales
#
# In a running notebook, the slider shows the image at each scale, and its error.


# %%
def predicted(place):
    """Return the image at one scale, for the first seed."""
    return fits.predict(place * len(seeds), image.shape[:2]).clip(0, 1)


def show(place):
    """Show the image at one scale, and its error."""
    picture = predicted(place)
    _, axes = plt.subplots(1, 2, figsize=(6, 3.1))
    axes[0].imshow(picture)
    axes[0].set_title(f"scale {scales[place]:.3g}: {psnr['psnr_heldout'][place, 0]:.2f} dB held out", fontsize=10)
    axes[1].imshow((picture - image).mean(-1), cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    axes[1].set_title("error", fontsize=10)
    for axis in axes:
        axis.set_axis_off()
    plt.show()


_ = ipywidgets.interact(show, place=ipywidgets.IntSlider(len(scales) // 2, 0, len(scales) - 1, description="scale"))

# %%
shown = np.linspace(0, len(scales) - 1, 5).astype(int)
figure, axes = plt.subplots(1, 5, figsize=(14, 3.2))
for axis, place in zip(axes, shown, strict=True):
    axis.imshow(predicted(place))
    axis.set_title(f"scale {scales[place]:.3g}", fontsize=10)
    axis.set_axis_off()

# %% [markdown]
# The same from the command line, with a report: `inr-sweep --config=scale:quick`. `inr.open_run(DIR)` opens the results
# of a run, labelled with the axes.
