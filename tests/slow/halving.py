"""Whether halving finds what a whole grid finds: python -m tests.slow.halving  (make halving; 12 minutes on two cores)

On every image a grid of 8 scales x 6 learning rates, fitted as a whole and with successive halving. How far the best
survivor ends below the best of all, in dB on the pixels that members are ranked by, and the member-steps it took.
"""

import argparse

import numpy as np

import inr_jax as inr
from inr_jax.runs import environment as machine
from inr_jax.sweep import halving

IMAGES = [
    *("astronaut", "chelsea", "coffee", "camera", "rocket", "retina", "hubble_deep_field", "clock", "brick", "cell"),
    *(f"synthetic:{name}:{seed}" for name in ("natural_noise", "text", "power_law") for seed in (1, 2, 3, 4)),
]
SCALES = [0.5, 1, 2, 3, 4, 6, 8, 12]
RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="*", default=IMAGES)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--split", default="quarter")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--network", default="relu")
    parser.add_argument("--keep", type=float, default=0.55)
    asked = parser.parse_args()
    machine.use_every_core()
    design = inr.Design(frequencies=96, width=64, depth=3, steps=asked.steps, network=asked.network)
    hypers = inr.hypers(scale=SCALES, learning_rate=RATES)
    behind, steps = [], []
    for image in asked.images:
        task = inr.tasks.split(inr.images.load(image, asked.size), asked.split)
        whole = inr.fit_many(design, hypers, task)
        halved = halving.fit_halving(design, hypers, task, asked.keep)
        score = "psnr_heldout" if len(task.heldout) else "psnr_train"
        ends = np.where(halved.steps == asked.steps, getattr(halved, score), -np.inf)
        behind.append(np.nanmax(getattr(whole, score)) - np.nanmax(ends))
        steps.append(halved.steps.sum() / (asked.steps * len(halved.steps)))
        print(f"{image}: {behind[-1]:.3f} dB behind, {steps[-1]:.1%} of the member-steps", flush=True)
    within = np.mean(np.asarray(behind) <= 0.1)
    print(f"{len(behind)} images: within 0.1 dB on {within:.0%}, at most {max(behind):.2f} dB behind;", end=" ")
    print(f"{np.mean(steps):.1%} of the member-steps")


if __name__ == "__main__":
    main()
