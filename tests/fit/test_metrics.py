"""Metrics: against scikit-image and against arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics
from scipy.ndimage import gaussian_filter

from inr_jax.fit import metrics


def pair(shape, noise=0.1, seed=0):
    """A smooth image and a noisy one of it, both in [0, 1]."""
    rng = np.random.default_rng(seed)
    target = gaussian_filter(rng.random(shape), (2, 2, 0))
    target = (target - target.min()) / np.ptp(target)
    noisy = np.clip(target + noise * rng.standard_normal(shape), 0, 1)
    return noisy.astype(np.float32), target.astype(np.float32)


def psnr(prediction, target):
    return float(metrics.psnr(jnp.asarray(prediction, jnp.float32), jnp.asarray(target, jnp.float32)))


def ssim(prediction, target):
    return float(metrics.ssim(jnp.asarray(prediction, jnp.float32), jnp.asarray(target, jnp.float32)))


@pytest.mark.parametrize(("mse", "decibels"), [(1.0, 0), (0.1, 10), (0.01, 20), (1e-6, 60), (0.0, np.inf)])
def test_psnr_of_a_mean_squared_error_is_in_decibels_below_one(mse, decibels):
    assert float(metrics.psnr_of(jnp.float32(mse))) == pytest.approx(decibels, abs=1e-4)


@pytest.mark.parametrize("shape", [(4, 5, 3), (20, 1), (7, 3)])
@pytest.mark.parametrize("off", [0.1, 0.001, 0.0001])
def test_psnr_of_a_constant_error_is_its_square_without_rounding(shape, off):
    target = np.full(shape, 0.4)
    assert psnr(target + off, target) == pytest.approx(-20 * np.log10(off), abs=5e-2 * 1e-3 / off)


def test_a_perfect_fit_has_infinite_psnr():
    _, target = pair((8, 8, 3))
    assert psnr(target, target) == np.inf


def test_psnr_clips_the_prediction_and_not_the_target():
    target = np.array([[[0.0], [1.0], [0.5]]])
    assert psnr([[[-3.0], [7.0], [0.5]]], target) == np.inf
    # Clipped to [1, 0, 0.5]: errors 1, 1, 0.
    assert psnr([[[3.0], [-7.0], [0.5]]], target) == pytest.approx(-10 * np.log10(2 / 3), abs=1e-5)


def test_psnr_of_what_diverged_is_nan():
    assert np.isnan(psnr([[np.nan, 0.5]], [[0.5, 0.5]]))


@pytest.mark.parametrize("shape", [(16, 16, 1), (13, 21, 3)])
@pytest.mark.parametrize("noise", [0.001, 0.1, 1.0])
def test_psnr_agrees_with_scikit_image(shape, noise):
    noisy, target = pair(shape, noise)
    wanted = skimage.metrics.peak_signal_noise_ratio(
        target.astype(np.float64), noisy.astype(np.float64), data_range=1.0
    )
    assert psnr(noisy, target) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("shape", [(11, 11, 1), (13, 31, 3), (40, 40, 3), (300, 12, 1)])
@pytest.mark.parametrize("noise", [0.001, 0.1, 1.0])
def test_ssim_agrees_with_scikit_image(shape, noise):
    noisy, target = pair(shape, noise)
    wanted = skimage.metrics.structural_similarity(
        target.astype(np.float64),
        noisy.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )
    assert ssim(noisy, target) == pytest.approx(wanted, abs=1e-5)


def test_ssim_of_a_negative_is_negative_and_agrees_with_scikit_image():
    _, target = pair((32, 32, 1))
    wanted = skimage.metrics.structural_similarity(
        target.astype(np.float64),
        1.0 - target.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )
    assert wanted < 0
    assert ssim(1 - target, target) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("value", [None, 0.0, 0.5, 1.0])
def test_ssim_of_an_image_and_itself_is_one(value):
    _, target = pair((16, 20, 3))
    target = target if value is None else np.full_like(target, value)
    assert ssim(target, target) == pytest.approx(1.0, abs=1e-6)


def test_ssim_clips_the_prediction():
    noisy, target = pair((16, 16, 3))
    beyond = np.where(noisy == 1, 5.0, np.where(noisy == 0, -5.0, noisy))
    beyond[0, 0, 0], noisy[0, 0, 0] = 9.0, 1.0
    assert ssim(beyond, target) == pytest.approx(ssim(noisy, target), abs=1e-6)


def test_ssim_falls_as_noise_grows():
    found = [ssim(*pair((32, 32, 3), noise)) for noise in (0.01, 0.05, 0.2, 0.5)]
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] > 0.5


@pytest.mark.parametrize("shape", [(10, 40, 3), (40, 10, 1), (2, 2, 3), (64, 1)])
def test_ssim_is_nan_below_the_window_and_for_a_signal(shape):
    target = np.full(shape, 0.5)
    assert np.isnan(ssim(target, target))


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_metrics_are_the_same_under_jit_and_vmap(metric):
    noisy, target = (jnp.stack([jnp.asarray(pair((16, 16, 3), n)[i]) for n in (0.05, 0.2)]) for i in (0, 1))
    many = jax.jit(jax.vmap(metric))(noisy, target)
    np.testing.assert_allclose(many, [metric(a, b) for a, b in zip(noisy, target, strict=True)], rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 6, 1)])
def test_the_spectrums_powers_sum_to_the_mean_square(shape):
    image = np.random.default_rng(0).random(shape)
    found = metrics.spectrum(image)
    assert found.shape == shape[:2]
    assert (10.0**found).sum() == pytest.approx((image**2).mean(), rel=1e-6)


@pytest.mark.parametrize(("shape", "rows", "columns"), [((16, 16), 3, 0), ((16, 16), 2, 5), ((15, 12), 0, 4)])
def test_a_waves_power_is_at_its_frequency_on_both_sides_of_the_middle(shape, rows, columns):
    i, j = np.indices(shape)
    wave = np.cos(2 * np.pi * (rows * i / shape[0] + columns * j / shape[1]))[..., None]
    found = metrics.spectrum(wave)
    middle, offset = np.array(shape) // 2, np.array([rows, columns])
    peaks = {tuple(middle + offset), tuple(middle - offset)}
    assert {tuple(p) for p in np.argwhere(found > -3)} == peaks
    for peak in peaks:
        assert found[peak] == pytest.approx(np.log10(0.25), abs=1e-6)


@pytest.mark.parametrize("shape", [(16, 16, 3), (12, 20, 1)])
def test_radial_power_is_the_mean_over_rings_of_the_transforms_power(shape):
    image = np.random.default_rng(0).random(shape)
    frequencies, power = metrics.radial_power(image)
    assert frequencies.tolist() == list(range(1, min(shape[:2]) // 2 + 1))
    for frequency, mean in zip(frequencies, power, strict=True):
        ring = []
        for i in range(shape[0]):
            for j in range(shape[1]):
                k, m = (i + shape[0] // 2) % shape[0] - shape[0] // 2, (j + shape[1] // 2) % shape[1] - shape[1] // 2
                if round(float(np.hypot(k, m))) == frequency:
                    wave = np.exp(
                        -2j
                        * np.pi
                        * (k * np.arange(shape[0])[:, None] / shape[0] + m * np.arange(shape[1])[None, :] / shape[1])
                    )
                    ring.append(np.mean(np.abs((image * wave[..., None]).mean((0, 1))) ** 2))
        assert mean == pytest.approx(np.mean(ring), rel=1e-9)


@pytest.mark.parametrize("shape", [(32,), (9, 14, 12)])
def test_radial_power_of_signals_and_volumes_has_a_waves_power_at_its_frequency(shape):
    wave = np.cos(2 * np.pi * 3 * np.arange(shape[-1]) / shape[-1])
    frequencies, power = metrics.radial_power(np.broadcast_to(wave, shape)[..., None])
    assert frequencies[power.argmax()] == 3 and np.delete(power, power.argmax()).max() < 1e-12


@pytest.mark.parametrize(("side", "lowest"), [(64, [1, 2, 4, 8, 16]), (100, [1, 2, 4, 8, 16, 32]), (2, [1]), (5, [1])])
def test_bands_are_octaves_up_to_half_the_side(side, lowest):
    assert metrics.bands(side).tolist() == lowest


@pytest.mark.parametrize(("frequency", "band"), [(1, 0), (3, 1), (5, 2), (11, 3), (20, 4), (32, 4)])
def test_a_waves_power_is_in_its_octave(frequency, band):
    x = np.arange(64) / 64
    lines = np.stack([np.cos(2 * np.pi * frequency * x + phase) for phase in (0.3, 1.0)])[..., None]
    power = np.asarray(metrics.band_power(jnp.asarray(lines, jnp.float32), 5))
    assert power.argmax() == band and power[band] > 2 * np.delete(power, band).max()


def test_band_power_is_numpys_transform_under_its_window_summed_over_octaves():
    lines = np.random.default_rng(0).random((3, 48, 2))
    waves = np.fft.rfft((lines - lines.mean(1, keepdims=True)) * np.hanning(49)[:48, None], axis=1) / 48
    power = (np.abs(waves) ** 2).mean((0, 2))
    wanted = [power[low : (25 if low == 16 else 2 * low)].sum() for low in (1, 2, 4, 8, 16)]
    np.testing.assert_allclose(metrics.band_power(jnp.asarray(lines, jnp.float32), 5), wanted, rtol=1e-4)


def test_a_slope_does_not_leak_into_high_bands():
    slope = jnp.linspace(0, 1, 64)[None, :, None]
    power = np.asarray(metrics.band_power(slope, 5))
    assert power[-1] < 1e-6 * power[0]
