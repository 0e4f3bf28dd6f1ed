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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/inr-jax/inr_jax/blob/main/notebooks/03_why_it_works.ipynb)
#
# Why does a network that is fed with Fourier features learn what it learns, in that order, and why is there a best
# scale? A very wide network is kernel regression, and of that everything can be computed. This is the way there, in
# steps of a few lines; a minute on two CPU cores.

# %%
# Where the package is not there yet, on Colab: this adds what is missing, and leaves Colab's own jax as it is.
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
from inr_jax.kernel import ntk, regression, spectrum

# The tests run all cells at a size for tests.
FAST = bool(os.environ.get("INR_JAX_FAST"))
plt.rcParams |= {"figure.dpi": 72, "figure.constrained_layout.use": True, "axes.spines.top": False}
plt.rcParams |= {"axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 9}


def panels(count, width=3.2, height=2.6):
    """Some axes beside each other."""
    return plt.subplots(1, count, figsize=(width * count, height), squeeze=False)[1][0]


# %% [markdown]
# ## Kernel regression
#
# A signal of 64 samples, of which every second is known. Put a bump on every known sample and choose their heights so
# that the sum goes through all of them: that is kernel regression, and the bump's width decides what lies between.

# %%
signal = inr.images.load("synthetic:power_law:0", size=64)  # (64, 1), in [0, 1]
task = inr.tasks.split(signal, "quarter")
x, y = np.arange(64) / 64, signal[:, 0].astype(float)
known, held = task.train, task.heldout


def gaussian_kernel(width):
    """exp(-d²/2w²) of any two samples, on a circle."""
    apart = np.abs(x[:, None] - x)
    return np.exp(-((np.minimum(apart, 1 - apart) / width) ** 2) / 2)


def through(matrix, ridge=1e-6):
    """What goes through the known samples, at all samples."""
    inner = matrix[np.ix_(known, known)] + ridge * np.eye(len(known))
    return y[known].mean() + matrix[:, known] @ np.linalg.solve(inner, y[known] - y[known].mean())


for axes, width in zip(panels(3), (0.003, 0.02, 0.2), strict=True):
    fitted = through(gaussian_kernel(width))
    axes.plot(x, y, color="black", alpha=0.3, linewidth=3)
    axes.plot(x, fitted, linewidth=1)
    axes.plot(x[known], y[known], ".", markersize=4)
    axes.set_title(f"width {width}: {metrics.psnr(fitted[held], y[held]):.1f} dB between", fontsize=9)

# %% [markdown]
# ## The same, seen as features
#
# The mean of cos 2πb(x - x') over random frequencies b of standard deviation s is a Gaussian of width 1/2πs. So a
# linear fit of the features [sin 2πbx, cos 2πbx] is kernel regression with that kernel: a larger scale is a narrower
# bump. The more frequencies, the closer the products of features come to it.

# %%
design = inr.Design(encoding="gaussian", frequencies=64, init="glorot", output="linear", width=1024)
scale = 1 / (2 * np.pi * 0.02)
for m in (16, 256, 4096):
    many = design.replace(frequencies=m)
    drawn = ntk.correlation(ntk.waves(many, inr.Hyper(scale=scale), (64,), (64,)))
    apart = np.abs(drawn - np.exp(-((x / 0.02) ** 2) / 2)).max()
    print(f"{m:5} frequencies: the kernel is off by {apart:.3f} at most")

# %% [markdown]
# ## The kernel of a network
#
# A network's output moves along its gradient, and how much a step on one pixel moves another is the product of their
# gradients: the neural tangent kernel (NTK). In a very wide network it is fixed, and follows from the features'
# products layer by layer: the means of relu(u) relu(v) and relu'(u) relu'(v) over Gaussians are known in closed form
# (the arc-cosine kernels). In units where every layer keeps the mean square:

# %%
rho = np.linspace(-1, 1, 201)
ntk, covariance = rho, rho
for layers in range(1, 9):
    product, square, slopes = ntk.relu_moments(covariance, 1.0)
    covariance = product / square
    ntk = covariance + 2 * slopes * ntk
    if layers in (1, 2, 4, 8):
        plt.gcf().set_size_inches(4.2, 2.8)
        plt.plot(rho, ntk / ntk[-1], label=f"{layers} hidden layers")
plt.xlabel("correlation of the features")
plt.ylabel("NTK, 1 where they agree")
_ = plt.legend()
# %% [markdown]
# `ntk.on_grid` does this with the initial variances of the network at hand. Against the gradients of an actual
# network:

# %%
hyper = inr.Hyper(scale=4.0)
wide = ntk.on_grid(design, hyper, (64,), channels=1)[63:]
state = member.init(design, hyper, task)
every = pixel_coordinates(np.arange(64), (64,))
actual = np.asarray(ntk.empirical_ntk(design, hyper, state, every, every[:1], 1))[:, 0]
plt.figure(figsize=(4.6, 2.6))
plt.plot(wide, "--", color="black", label="infinitely wide")
plt.plot(actual / actual[0], label="width 1,024, as drawn")
plt.xlabel("distance in samples")
plt.ylabel("NTK")
_ = plt.legend()
# %% [markdown]
# ## Its spectrum
#
# On a grid a kernel of differences is a convolution: its eigenvectors are waves, and gradient descent shrinks the error
# of each wave at a rate that is its eigenvalue. One wave around the circle ("basic") feeds a network that falls
# steeply: it learns low frequencies hundreds of times faster than high ones. A larger scale levels the spectrum.
# With the plain coordinate it is steeper still, and no function of differences: of a network's own gradients, sorted.

# %%
first, second = panels(2, 4.2, 3.0)
plain = design.replace(encoding="identity")
matrix = np.asarray(ntk.empirical_ntk(plain, hyper, member.init(plain, hyper, task), every, every, 1), float)
sizes = np.linalg.eigvalsh(matrix / np.trace(matrix) * 64)[::-1]
first.plot(sizes[:40].clip(1e-7), color="black", label="coordinate")
settings = [("basic", 0.0), *(("gaussian", s) for s in (2.0, 6.0, 20.0))]
for encoding, scale in settings:
    one, name = design.replace(encoding=encoding), f"{encoding} {scale or ''}"
    frequency, value = spectrum.eigenvalues(one, inr.Hyper(scale=scale), (64,), 1)
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
# Two axes, 64x64 pixels, a quarter of them known: the same regression, solved with FFTs. The scale is the width of the
# bump again. Too large: each pixel stands alone. Too small: the details have small eigenvalues, and are learned late.
# Solved to its end the regression hardly minds; stopped at a time, as every training is, it is blurred. At time 3:

# %%
photograph = inr.images.load("astronaut", size=64)
picture = inr.tasks.split(photograph, "quarter")
image_design = inr.Design(frequencies=256, width=256)


def heldout_psnr(image):
    """On the held-out pixels, in dB."""
    pair = [np.asarray(part).reshape(-1, 3)[picture.heldout] for part in (image, picture.image)]
    return float(metrics.psnr(*pair))


axes = panels(4, 2.6, 2.9)
axes[0].imshow(photograph)
axes[0].set_title("the photograph", fontsize=9)
for place, scale in zip(axes[1:], (0.1, 2.0, 16.0), strict=True):
    (image,) = regression.gradient_flow(image_design, inr.Hyper(scale=scale), picture, [3.0]).image
    place.imshow(image.clip(0, 1))
    place.set_title(f"scale {scale}: {heldout_psnr(image):.1f} dB held out", fontsize=9)
for place in axes:
    place.set_axis_off()

# %% [markdown]
# `inr.scale_curve` gives the whole curve without training anything:

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
# Nobody trains to the end. Gradient flow stopped early has learned the waves with large eigenvalues and not the others:
# spectral bias. What is left of each octave of frequency:

# %%
times = np.geomspace(0.1, 1000, 13)
flow = regression.gradient_flow(image_design, inr.Hyper(scale=2.0), picture, times)
axes = panels(4, 2.6, 2.9)
for place, at in zip(axes, (0, 4, 8, 12), strict=True):
    place.imshow(flow.image[at].clip(0, 1))
    place.set_title(f"time {times[at]:.3g}: {heldout_psnr(flow.image[at]):.1f} dB", fontsize=9)
    place.set_axis_off()

# %%
left = [
    curves.pixel_curve_point(picture, image.astype(np.float32).reshape(-1, 3).__getitem__).history_bands for image in flow.image
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
# ## A trained network beside it
#
# Gradient descent on a network of width 1,024, on the signal, beside gradient flow with its ntk. Two amplitudes of
# the same sixteen frequencies: all equal, or falling as 1/j, which is what the signal does.

# %%
steps = 20 if FAST else 400
descent = inr.Design(
    encoding="experiments.configs.falloff:harmonics",
    **{"frequencies": 16, "width": 1024, "init": "flax", "output": "linear", "optimizer": "sgd", "steps": steps},
)
for axes, power in zip(panels(2, 4.2, 2.8), (0.0, 1.0), strict=True):
    hyper = inr.Hyper(learning_rate=0.02, power=power)
    trained = inr.fit_many(descent, inr.hypers(descent, learning_rate=0.02, power=power), task)
    theory = spectrum.curves(descent, hyper, task, trained.history_step)
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
# The kernel was held fixed. In a network of finite width it moves while it learns: the features themselves are learned,
# the more the narrower the network is. How far the NTK on 64 pixels of the photograph has turned after 200 steps of
# Adam, and what each network reaches:

# %%
some = pixel_coordinates(picture.train[:: len(picture.train) // 64], (64, 64))
hyper, hypers = inr.Hyper(scale=2.0), inr.hypers(scale=[2.0])
for width in (32, 128, 512):
    narrow = image_design.replace(width=width, frequencies=64, steps=20 if FAST else 200)
    trained = inr.fit_many(narrow, hypers, picture)
    start = member.init(narrow, hyper, picture)
    params, data = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (trained.params, trained.data))
    before, after = (
        np.asarray(ntk.empirical_ntk(narrow, hyper, each, some, some))
        for each in (start, start._replace(params=params, data=data))
    )
    cosine = np.sum(before * after) / np.linalg.norm(before) / np.linalg.norm(after)
    print(f"width {width:4}: {trained.psnr_heldout[0]:.2f} dB held out; cosine of the kernels {cosine:.3f}")
print(f"the kernel's best: {curve.psnr_heldout.max():.2f} dB at scale {scales[curve.psnr_heldout.argmax()]:g}")

# %% [markdown]
# So the kernel says where too small and too large a scale lie, and what is learned first; of a short training by Adam,
# with a sigmoid and moving features, it is a picture and not a measurement.
