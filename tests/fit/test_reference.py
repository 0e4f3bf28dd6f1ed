"""The whole fit against one written again in NumPy, from Tancik et al. 2020: nothing of the package but the image."""

import itertools

import numpy as np
import pytest

import inr_jax as inr

pytestmark = pytest.mark.optimized

SCALES, SEEDS = (0.5, 1.0, 2.0), tuple(range(6))
# Products so small that NumPy does them on one core: its threads would wait for each other beside other tests.
FREQUENCIES, WIDTH, DEPTH, STEPS, RATE = 16, 32, 2, 300, 2e-3


def fitted_in_numpy(image: np.ndarray, scale: float, seed: int) -> float:
    """Held-out PSNR in dB: Gaussian features, ReLU layers, a sigmoid, Adam on the mean squared error, all pixels."""
    draw, side = np.random.default_rng(seed), len(image)
    x = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1) / side
    B = draw.normal(0, scale, (FREQUENCIES, 2))

    def features(lattice: np.ndarray) -> np.ndarray:
        turns = 2 * np.pi * lattice.reshape(-1, 2) @ B.T
        return np.concatenate([np.sin(turns), np.cos(turns)], 1).astype(np.float32)

    train, held_out = features(x[::2, ::2]), features(x[1::2, 1::2])
    target, other = image[::2, ::2].reshape(-1, 3), image[1::2, 1::2].reshape(-1, 3)
    sizes = [2 * FREQUENCIES, *[WIDTH] * DEPTH, 3]
    weights: list[np.ndarray] = []
    for before, after in itertools.pairwise(sizes):
        weights.append(draw.normal(0, (2 / (before + after)) ** 0.5, (before, after)).astype(np.float32))
        weights.append(draw.normal(0, 0.01, after).astype(np.float32))
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]

    def forward(rows: np.ndarray) -> list[np.ndarray]:
        layers = [rows]
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            layers.append(np.maximum(layers[-1] @ kernel + bias, 0))
        return [*layers, 1 / (1 + np.exp(-(layers[-1] @ weights[-2] + weights[-1])))]

    for t in range(1, STEPS + 1):
        *layers, out = forward(train)
        slope = 2 * (out - target) / out.size * out * (1 - out)
        gradients: list[np.ndarray] = []
        for number in reversed(range(len(layers))):
            gradients = [layers[number].T @ slope, slope.sum(0), *gradients]
            slope = (slope @ weights[2 * number].T) * (layers[number] > 0)
        for w, g, (m, v) in zip(weights, gradients, moments, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= RATE * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return float(-10 * np.log10(np.mean((forward(held_out)[-1] - other) ** 2)))


def test_what_the_best_scale_reaches_is_what_an_independent_computation_gives():
    image = inr.images.load("astronaut", size=32)
    design = inr.Design(frequencies=FREQUENCIES, width=WIDTH, depth=DEPTH, steps=STEPS, init="glorot")
    members = inr.hypers(scale=SCALES, learning_rate=[RATE], seed=SEEDS)
    ours = inr.fit_many(design, members, inr.tasks.split(image, "quarter")).psnr_heldout.reshape(len(SCALES), -1)
    theirs = np.asarray([[fitted_in_numpy(image, scale, seed) for seed in SEEDS] for scale in SCALES])
    np.testing.assert_allclose(ours.mean(1).max(), theirs.mean(1).max(), atol=0.5)
    np.testing.assert_allclose(ours.mean(1), theirs.mean(1), atol=1.0)
