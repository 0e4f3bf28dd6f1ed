"""Multiplicative networks: their parameters, what they compute, and the band that bacon cannot leave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import inr_jax as inr
from inr_jax.fit import filters
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.encodings import Variables
from inr_jax.fit.member import init, shapes
from inr_jax.runs import export
from inr_jax.settings import Refused


def task_of(side=8, channels=3):
    return inr.tasks.split(np.random.default_rng(0).random((side, side, channels)).astype(np.float32), "all")


@pytest.mark.parametrize(
    ("network", "width", "depth", "wanted"),
    [
        ("mfn-gabor", 252, 4, 198_075),
        ("mfn-gabor", 16, 3, 3 * 6 * 16 + 2 * (16 * 16 + 16) + 16 * 3 + 3),
        ("mfn-fourier", 16, 3, 3 * 3 * 16 + 2 * (16 * 16 + 16) + 16 * 3 + 3),
        ("bacon", 16, 3, 3 * 16 + 2 * (16 * 16 + 16) + 16 * 3 + 3),
    ],
)
def test_parameters_are_as_many_as_the_formula_says(network, width, depth, wanted):
    state = shapes(Design(network=network, width=width, depth=depth, encoding="identity"), Hyper(seed=0), task_of())
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == wanted


def of_numpy(state, x, gabor):
    """The network of these variables in NumPy, at coordinates (n, 2)."""
    net = {**state.params["network"]}
    fixed = state.data["network"].get("fixed", {})

    def turn(layer):
        numbers = {**net[f"filter_{layer}"], **fixed.get(f"filter_{layer}", {})}
        wave = np.sin(x @ np.asarray(numbers["frequency"], float).T + np.asarray(numbers["phase"], float))
        if not gabor:
            return wave
        distance = ((x[:, None] - np.asarray(numbers["centre"], float)) ** 2).sum(-1)
        return wave * np.exp(-0.5 * np.asarray(numbers["gamma"], float) * distance)

    def linear(name, y):
        return y @ np.asarray(net[name]["weight"], float).T + np.asarray(net[name]["bias"], float)

    y = turn(0)
    for layer in range(1, sum(name.startswith("filter") for name in net)):
        y = turn(layer) * linear(f"Dense_{layer}", y)
    return linear("Dense_last", y)


@pytest.mark.parametrize("network", ["mfn-fourier", "mfn-gabor", "bacon"])
def test_a_product_is_what_numpy_makes_of_its_variables(network):
    settings = {"bandwidth": 3.0} if network == "bacon" else {"input_scale": 4.0}
    design = Design(network=network, width=8, depth=3, encoding="identity", domain="signed", steps=3)
    fits = inr.fit_many(design, inr.hypers(**settings), task_of())
    state = init(design, Hyper(seed=0, **{n: np.float32(v) for n, v in settings.items()}), task_of())
    one = jax.tree.map(lambda leaf: leaf[0], (fits.params, fits.data))
    state = state._replace(params=one[0], data=one[1])
    x = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, 8)], indexing="ij"), -1).reshape(-1, 2)
    wanted = of_numpy(state, x, network == "mfn-gabor").reshape(8, 8, 3)
    np.testing.assert_allclose(fits.predict(0, (8, 8)), wanted, atol=2e-5)


def test_the_first_variables_are_drawn_as_the_paper_draws_them():
    key = jax.random.key(0)
    drawn = filters.gabor_variables(key, 2, 20_000, 0, 4, input_scale=8.0, gamma_alpha=6.0, gamma_beta=2.0).params
    assert scipy.stats.kstest(drawn["gamma"], scipy.stats.gamma(6 / 4, scale=1 / 2).cdf).pvalue > 1e-3
    bound = 8 / np.sqrt(4 * 2)
    uniform = scipy.stats.uniform(-bound, 2 * bound)
    unscaled = np.asarray(drawn["frequency"]) / np.sqrt(np.asarray(drawn["gamma"]))[:, None]
    assert scipy.stats.kstest(unscaled.ravel(), uniform.cdf).pvalue > 1e-3
    assert scipy.stats.kstest(np.ravel(drawn["centre"]), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(drawn["phase"], scipy.stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_a_product_of_two_sines_has_its_power_at_their_sum_and_difference_and_at_the_second():
    n = 64
    design = Design(network="mfn-fourier", width=1, depth=2, encoding="identity", steps=0)
    task = inr.tasks.split(np.random.default_rng(0).random((n,)).astype(np.float32), "all")
    network = inr.fit_many(design, inr.hypers(), task).network(0)
    params = network.params["network"]
    for layer, cycles in ((0, 5), (1, 12)):
        params[f"filter_{layer}"]["frequency"] = np.full((1, 1), 2 * np.pi * cycles, np.float32)
    power = np.abs(np.fft.rfft(network._replace(params={**network.params, "network": params}).predict((n,))[:, 0]))
    assert set(np.flatnonzero(power > 1e-3 * power.max())) <= {0, 12 - 5, 12, 12 + 5} and power[7] > 1e-3


def test_a_negative_gamma_does_not_grow():
    numbers = {"frequency": jnp.ones((2, 1)), "phase": jnp.ones(2), "gamma": jnp.asarray([-50.0, 2.0])}
    x = jnp.linspace(-3, 3, 11)[None]
    value = filters.gabor(Variables({**numbers, "centre": jnp.zeros((2, 1))}, {}), x)
    np.testing.assert_allclose(value[0], np.sin(np.asarray(x[0]) + 1), atol=1e-6)
    assert (np.abs(value[1]) <= np.exp(-np.square(x[0])) + 1e-6).all()


@pytest.mark.parametrize("stage", [1, 3, *(pytest.param(each, marks=pytest.mark.slow) for each in (2, 4, 5))])
def test_no_output_of_bacon_has_power_beyond_its_band(stage):
    design = Design(network="bacon", width=16, depth=5, stage=stage, encoding="identity", steps=5)
    fits = inr.fit_many(design, inr.hypers(bandwidth=[8.0, 16.0], learning_rate=1e-2), task_of(16, 1))
    for row, band in enumerate((8, 16)):
        most = sum(int(filters.band_of(layer, 5, band)) for layer in range(stage))
        power = np.abs(np.fft.fft2(fits.predict(row, (64, 64))[..., 0]))
        cycles = np.abs(np.fft.fftfreq(64, 1 / 64))
        beyond = (cycles[:, None] > most) | (cycles[None] > most)
        assert power[beyond].max() < 1e-5 * power.max()
        assert most == {8: [1, 2, 4, 6, 8], 16: [2, 4, 8, 12, 16]}[band][stage - 1]


def test_bacon_does_not_train_its_frequencies_and_a_stage_beyond_it_is_refused():
    design = Design(network="bacon", width=8, depth=3, encoding="identity", steps=3)
    fits = inr.fit_many(design, inr.hypers(bandwidth=[4.0, 8.0]), task_of())
    start = init(design, Hyper(seed=0, bandwidth=np.float32(8.0)), task_of()).data["network"]["fixed"]
    for name, drawn in start.items():
        np.testing.assert_array_equal(fits.data["network"]["fixed"][name]["frequency"][1], drawn["frequency"])
    with pytest.raises(Refused, match="stage=4"):
        shapes(design.replace(stage=4), Hyper(seed=0), task_of())


@pytest.mark.parametrize(
    "network", [pytest.param(name, marks=pytest.mark.slow) for name in ("mfn-gabor", "mfn-fourier", "bacon")]
)
def test_a_member_of_several_is_its_single_fit_and_leaves_as_a_file(network, tmp_path):
    design = Design(network=network, width=8, depth=2, encoding="identity", domain="signed", steps=5)
    fits = inr.fit_many(design, inr.hypers(learning_rate=[1e-3, 2e-3]), task_of())
    alone = inr.fit_many(design, inr.hypers(learning_rate=2e-3), task_of())
    np.testing.assert_allclose(fits.psnr_train[1], alone.psnr_train[0], atol=1e-3)
    path = tmp_path / "member.safetensors"
    path.write_bytes(export.to_safetensors(fits.network(0)))
    np.testing.assert_array_equal(inr.load_network(path).predict((11, 6)), fits.predict(0, (11, 6)))
