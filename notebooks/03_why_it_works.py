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
# # Why it works: from kernel regression up
#
# [Open in Colab](https://colab.research.google.com/github/inr-jax/inr_jax/blob/main/notebooks/03_why_it_works.ipynb)
#
# What does a network with Fourier features learn, in which order, and why is there a best scale? A very wide network is
# kernel regression, for which everything can be computed. This notebook derives that in steps of a few lines. A minute
# on two CPU cores.

# %%
# Install the package where it is missing, as on Colab; an installed jax is kept.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("inr_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "inr-jax[notebooks,export]"], check=True)

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import inr_jax as inr
from inr_jax.fit import curves, member, metrics
from inr_jax.fit.task import pixel_coordinates
from inr_jax.kernel.correlation import correlation, encoding_waves
from inr_jax.kernel.flow import gradient_flow
from inr_jax.kernel.ntk import empirical_ntk, ntk_on_grid
from inr_jax.kernel.recursion import relu_moments
from inr_jax.kernel.spectrum import eigenvalues, predict_curves

# The tests run every cell with small shapes.
FAST = bool(os.environ.get("INR_JAX_FAST"))
plt.rcParams |= {"figure.dpi": 72, "figure.constrained_layout.use": True, "axes.spines.top": False}
plt.rcParams |= {"axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 9}


def panels(count, width=3.2, height=2.6):
    """Return a row of axes."""
    return plt.subplots(1, count, figsize=(width * count, height), squeeze=False)[1][0]


# %% [markdown]
# ## Kernel regression
#
# A signal has 64 samples, every other one known. Put a bump on each known sample, and choose the heights so that the
# sum passes through all of them. That is kernel regression, and the width of the bump decides the values in between.

# %%
signal = inr.images.load("synthetic:power_law:0", size=64)  # (64, 1), in [0, 1]
task = inr.tasks.split(signal, "quarter")
x, y = np.arange(64) / 64, signal[:, 0].astype(float)
known, held = task.train, task.heldout


def gaussian_kernel(width):
    """Return exp(-d²/2w²) for every pair of samples, where d is their distance on a circle."""
    apart = np.abs(x[:, None] - x)
    return np.exp(-((np.minimum(apart, 1 - apart) / width) ** 2) / 2)


def through(matrix, ridge=1e-6):
    """Return the regression through the known samples, at all samples."""
    inner = matrix[np.ix_(known, known)] + ridge * np.eye(len(known))
    return y[known].mean() + matrix[:, known] @ np.linalg.solve(inner, y[known] - y[known].mean())


for axes, width in zip(panels(3), (0.003, 0.02, 0.2), strict=True):
    fitted = through(gaussian_kernel(width))
    axes.plot(x, y, color="black", alpha=0.3, linewidth=3)
    axes.plot(x, fitted, linewidth=1)
    axes.plot(x[known], y[known], ".", markersize=4)
    axes.set_title(f"width {width}: {metrics.psnr(fitted[held], y[held]):.1f} dB between", fontsize=9)

# %% [markdown]
# ## The same, in terms of features
#
# The mean of cos 2πb(x - x') over random frequencies b with standard deviation s is a Gaussian of width 1/2πs. A linear
# fit of the features [sin 2πbx, cos 2πbx] is therefore kernel regression with that kernel: a larger scale gives a
# narrower bump. The more frequencies there are, the closer the inner products of features come to the Gaussian.

# %%
design = inr.Design(encoding="gaussian", frequencies=64, init="glorot", output="linear", width=1024)
scale = 1 / (2 * np.pi * 0.02)
for m in (16, 256, 4096):
    many = design.replace(frequencies=m)
    drawn = correlation(encoding_waves(many, inr.Hyper(scale=scale), (64,), (64,)))
    apart = np.abs(drawn - np.exp(-((x / 0.02) ** 2) / 2)).max()
    print(f"{m:5} frequencies: the kernel is off by {apart:.3f} at most")

# %% [markdown]
# ## The kernel of a network
#
# A gradient step on one pixel changes the output at another in proportion to the inner product of their gradients: the
# neural tangent kernel (NTK). In a very wide network it is fixed, and follows layer by layer from the inner products of
# the features: the means of relu(u) relu(v) and relu'(u) relu'(v) over Gaussians have a closed form (the arc-cosine
# kernels). In units in which every layer preserves the mean square:

# %%
rho = np.linspace(-1, 1, 201)
tangent, covariance = rho, rho
for layers in range(1, 9):
    product, square, slopes = relu_moments(covariance, 1.0)
    covariance = product / square
    tangent = covariance + 2 * slopes * tangent
    if layers in (1, 2, 4, 8):
        plt.gcf().set_size_inches(4.2, 2.8)
        plt.plot(rho, tangent / tangent[-1], label=f"{layers} hidden layers")
plt.xlabel("correlation of the features")
plt.ylabel("NTK, 1 where they agree")
_ = plt.legend()
# %% [markdown]
# `ntk_on_grid` does this with the initial variances of a design. Here it is compared with the gradients of an actual
# network:

# %%
hyper = inr.Hyper(scale=4.0)
wide = ntk_on_grid(design, hyper, (64,), channels=1)[63:]
state = member.init(design, hyper, task)
every = pixel_coordinates(np.arange(64), (64,))
actual = np.asarray(empirical_ntk(design, hyper, state, every, every[:1], 1))[:, 0]
plt.figure(figsize=(4.6, 2.6))
plt.plot(wide, "--", color="black", label="infinitely wide")
plt.plot(actual / actual[0], label="width 1,024, as drawn")
plt.xlabel("distance in samples")
plt.ylabel("NTK")
_ = plt.legend()
# %% [markdown]
# ## Its spectrum
#
# On a grid, a kernel that depends only on differences is a convolution: its eigenvectors are waves, and gradient
# descent reduces the error of each wave at a rate equal to its eigenvalue. With one wave around the circle ("basic")
# the spectrum falls steeply: low frequencies are learned hundreds of times faster than high ones. A larger scale
# flattens it. With the plain coordinate it is steeper still. That kernel depends on more than differences, so its
# eigenvalues are computed from the gradients of a network, and sorted.

# %%
first, second = panels(2, 4.2, 3.0)
plain = design.replace(encoding="identity")
matrix = np.asarray(empirical_ntk(plain, hyper, member.init(plain, hyper, task), every, every, 1), float)
sizes = np.linalg.eigvalsh(matrix / np.trace(matrix) * 64)[::-1]
first.plot(sizes[:40].clip(1e-7), color="black", label="coordinate")
settings = [("basic", 0.0), *(("gaussian", s) for s in (2.0, 6.0, 20.0))]
for encoding, scale in settings:
    one, name = design.replace(encoding=encoding), f"{encoding} {scale or ''}"
    frequency, value = eigenvalues(one, inr.Hyper(scale=scale), (64,), 1)
    first.plot(np.sort(np.repeat(value, 2)[1:-1])[::-1][:40], label=name)
    second.plot(frequency, value, label=name)
first.set_xlabel("number, largest first")
second.set_xlabel("cycles over the signal")
first.legend()
for axes in (first, second):
    axes.set_yscale("log")
_ = first.set_ylabel("eigenvalue")
# %% [markdown]
# ## An image
#
# Two axes, 64x64 pixels, a quarter of them known: the same regression, solved with FFTs. Again the scale sets the width
# of the bump. If it is too large, each pixel stands alone. If it is too small, details have small eigenvalues and are
# learned late: that hardly affects a regression solved to the end, but blurs one that is stopped early, as training is.
# At time 3:

# %%
photograph = inr.images.load("astronaut", size=64)
picture = inr.tasks.split(photograph, "quarter")
image_design = inr.Design(frequencies=256, width=256)


def heldout_psnr(image):
    """Return the PSNR on the held-out pixels, in dB."""
    pair = [np.asarray(part).reshape(-1, 3)[picture.heldout] for part in (image, picture.image)]
    return float(metrics.psnr(*pair))


axes = panels(4, 2.6, 2.9)
axes[0].imshow(photograph)
axes[0].set_title("the photograph", fontsize=9)
for place, scale in zip(axes[1:], (0.1, 2.0, 16.0), strict=True):
    (image,) = gradient_flow(image_design, inr.Hyper(scale=scale), picture, [3.0]).image
    place.imshow(image.clip(0, 1))
    place.set_title(f"scale {scale}: {heldout_psnr(image):.1f} dB held out", fontsize=9)
for place in axes:
    place.set_axis_off()

# %% [markdown]
# `inr.scale_curve` computes the whole curve, without training:

# %%
scales = 2.0 ** np.arange(-4, 6)
curve = inr.scale_curve(image_design, scales, picture)
stopped = inr.scale_curve(image_design, scales[::2], picture, time=3.0)
plt.figure(figsize=(4.2, 2.8))
plt.plot(scales, curve.psnr_heldout, "o-", markersize=4, label="solved to the end")
plt.plot(stopped.scale, stopped.psnr_heldout, "s--", markersize=4, label="stopped at time 3")
plt.xscale("log")
plt.xlabel("scale (cycles per image side)")
plt.ylabel("held-out PSNR (dB)")
_ = plt.legend()

# %% [markdown]
# ## Over time
#
# Training is never run to the end. Gradient flow that is stopped early has learned the waves with large eigenvalues,
# and not the others. This is spectral bias, shown here by images, and by the error that remains in each octave of
# frequency:

# %%
times = np.geomspace(0.1, 1000, 13)
flow = gradient_flow(image_design, inr.Hyper(scale=2.0), picture, times)
axes = panels(4, 2.6, 2.9)
for place, at in zip(axes, (0, 4, 8, 12), strict=True):
    place.imshow(flow.image[at].clip(0, 1))
    place.set_title(f"time {times[at]:.3g}: {heldout_psnr(flow.image[at]):.1f} dB", fontsize=9)
    place.set_axis_off()

# %%
left = [
    curves.pixel_curve_point(picture, image.astype(np.float32).reshape(-1, 3).__getitem__).history_bands
    for image in flow.image
]
plt.figure(figsize=(4.6, 2.8))
for band, low in enumerate(metrics.bands(64)):
    plt.plot(times, np.stack(left)[:, band], color=plt.get_cmap("viridis")(band / 5), label=f"from {low} cycles")
plt.xscale("log")
plt.yscale("log")
plt.xlabel("time")
plt.ylabel("error's power over the target's")
_ = plt.legend(fontsize=7)
# %% [markdown]
# ## A trained network for comparison
#
# Gradient descent on a network of width 1,024 is compared with gradient flow under its NTK, on the signal from above.
# The amplitudes of the sixteen frequencies are all equal, or fall as 1/j like those of the signal.

# %%
steps = 20 if FAST else 400
descent = inr.Design(
    encoding="experiments.configs.falloff:harmonics",
    **{"frequencies": 16, "width": 1024, "init": "flax", "output": "linear", "optimizer": "sgd", "steps": steps},
)
for axes, power in zip(panels(2, 4.2, 2.8), (0.0, 1.0), strict=True):
    hyper = inr.Hyper(learning_rate=0.02, power=power)
    trained = inr.fit_many(descent, inr.hypers(descent, learning_rate=0.02, power=power), task, history=24)
    theory = predict_curves(descent, hyper, task, trained.history_step)
    axes.plot(trained.history_step, trained.history_train[0], "o", markersize=4, label="training samples")
    axes.plot(trained.history_step, theory.history_train, "--", color="C0")
    axes.plot(trained.history_step, trained.history_heldout[0], "s", markersize=4, label="held-out samples")
    axes.plot(trained.history_step, theory.history_heldout, "--", color="C1")
    axes.set_xscale("symlog")
    axes.set_xlabel("step")
    axes.set_title(f"amplitudes 1/j^{power:g}; dashed: the kernel's", fontsize=9)
_ = axes.legend(loc="lower right")
# %% [markdown]
# ## What the theory misses
#
# So far the kernel was fixed. In a network of finite width it changes during training, because features are learned
# too: the narrower the network, the more. This is how far the NTK on 64 pixels of the photograph turns in 200 steps of
# Adam, and the PSNR of each network:

# %%
some = pixel_coordinates(picture.train[:: len(picture.train) // 64], (64, 64))
hyper, hypers = inr.Hyper(scale=2.0), inr.hypers(scale=[2.0])
for width in (32, 128, 512):
    narrow = image_design.replace(width=width, frequencies=64, steps=20 if FAST else 200)
    trained = inr.fit_many(narrow, hypers, picture)
    start = member.init(narrow, hyper, picture)
    params, data = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (trained.params, trained.data))
    before, after = (
        np.asarray(empirical_ntk(narrow, hyper, each, some, some))
        for each in (start, start._replace(params=params, data=data))
    )
    cosine = np.sum(before * after) / np.linalg.norm(before) / np.linalg.norm(after)
    print(f"width {width:4}: {trained.psnr_heldout[0]:.2f} dB held out; cosine of the kernels {cosine:.3f}")
print(f"the kernel's best: {curve.psnr_heldout.max():.2f} dB at scale {scales[curve.psnr_heldout.argmax()]:g}")

# %% [markdown]
# The kernel thus shows which scales are too small or too large, and what is learned first. For short training by Adam,
# with a sigmoid and features that change, it is a qualitative picture, not a measurement.
