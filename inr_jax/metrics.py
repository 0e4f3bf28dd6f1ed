"""The definitions of record: PSNR, SSIM, spectra. Predictions are clipped to [0, 1], never rounded; the peak is 1."""

import dm_pix
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inr_jax.settings import AnyArray

SSIM_WINDOW = 11


def psnr(prediction: Float[AnyArray, "*n c"], target: Float[AnyArray, "*n c"]) -> Float[Array, ""]:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of one image; infinite for a perfect fit."""
    return psnr_of(jnp.mean(jnp.square(jnp.clip(prediction, 0.0, 1.0) - target)))


def psnr_of(mse: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """PSNR in dB of a mean squared error in [0, 1]: 0.01 gives 20."""
    return -10.0 * jnp.log10(mse)


def ssim(prediction: Float[AnyArray, "*n c"], target: Float[AnyArray, "*n c"]) -> Float[Array, ""]:
    """Structural similarity, at most 1 (Wang et al. 2004: Gaussian window 11, σ 1.5, k 0.01 and 0.03).

    NaN for an image smaller than the window, and for a signal.
    """
    if target.ndim != 3 or min(target.shape[:2]) < SSIM_WINDOW:
        return jnp.asarray(jnp.nan, jnp.float32)
    return dm_pix.ssim(jnp.clip(prediction, 0.0, 1.0), target, max_val=1.0, filter_size=SSIM_WINDOW)


def spectrum(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """log10 of the power at each frequency, mean over channels, zero frequency in the middle."""
    power = np.abs(np.fft.fftshift(np.fft.fft2(image, axes=(0, 1), norm="forward"), axes=(0, 1))) ** 2
    return np.log10(power.mean(-1) + 1e-12)
