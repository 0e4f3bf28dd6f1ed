"""How do scale and learning rate interact, for Gaussian features and for SIREN's omega_0?

Question  Papers tune the scale at one learning rate. Is there one best scale for all rates, and how far from its best
          may either be?
Command   python -m experiments.sweep --config=experiments/configs/scale_by_rate.py
          python -m experiments.sweep --config=experiments/configs/scale_by_rate.py:siren
Cost      On two CPU cores, shared with other work: 16 minutes, siren 9, quick half a minute.
Finding   On the astronaut at 64x64 they trade off: the best scale falls from 3.1 cycles at a learning rate of 7e-5 to
          1.1 at 2.5e-3, where the maximum lies (21.96 dB held out). For scales from 0.5 to 2.5 cycles some rate comes
          within 0.5 dB. Above a rate of 0.03 every network collapses to one colour; above 8 cycles held-out pixels
          suffer at any rate. SIREN's ridge is longer: from omega_0 20 at 5.5e-5 to 1.6 at 2e-2, within 0.65 dB of its
          best, 21.45. Nothing diverged. One seed, so a tenth of a dB is noise. Linear interpolation gives 20.69.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "gaussian": "Gaussian Fourier features: 24 scales x 24 learning rates at 64x64, 400 steps",
    "siren": "SIREN: 24 omega_0 x 24 learning rates at 64x64, 400 steps",
    "quick": "8 scales x 8 learning rates at 64x64, 150 steps",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.size = 64
    config.design.frequencies, config.design.width, config.design.depth, config.design.steps = 128, 128, 3, 400
    config.run.history = 6
    if variant == "siren":
        config.design.encoding, config.design.network, config.design.domain = "identity", "siren", "signed"
        config.axes.omega_0, config.axes.learning_rate = spaced(1.0, 300.0, 24), spaced(1e-6, 1e-1, 24)
    else:
        points = 8 if variant == "quick" else 24
        config.axes.scale, config.axes.learning_rate = spaced(0.25, 32.0, points), spaced(1e-5, 1.0, points)
        config.design.steps = 150 if variant == "quick" else 400
    return config


def spaced(low: float, high: float, points: int) -> tuple[float, ...]:
    """Return points evenly spaced on a logarithmic axis, to three digits."""
    return tuple(float(f"{low * (high / low) ** (place / (points - 1)):.3g}") for place in range(points))
