"""Activations: what each computes, its slope, what it learns, and that a network of each is fitted like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import inr_jax as inr
from inr_jax.fit import activations
from inr_jax.fit.activations import ACTIVATIONS, Activation, feed_of
from inr_jax.fit.design import Design, Hyper, reads
from inr_jax.fit.member import init, key, shapes
from inr_jax.fit.networks import NETWORKS
from inr_jax.runs import export
from inr_jax.settings import Refused, declared, meaning

Z = np.linspace(-1.5, 1.5, 61)
U = 0.7 * Z[::-1]


def wave(omega):
    return lambda z: np.sin(omega * z)


# Independent definitions, in NumPy's float64, with numbers that are not the defaults.
REFERENCES = {
    "relu": ({}, lambda z: np.maximum(z, 0)),
    "gelu": ({}, lambda z: z * scipy.special.ndtr(z)),
    "silu": ({}, lambda z: z * scipy.special.expit(z)),
    "tanh": ({}, np.tanh),
    "sine": ({"omega_0": 7.0}, wave(7.0)),
    "finer": ({"omega_0": 7.0}, lambda z: np.sin(7.0 * (np.abs(z) + 1) * z)),
    "gauss": ({"s": 3.0}, lambda z: np.exp(-((3 * z) ** 2))),
    "finer-gauss": ({"s": 2.0, "omega_0": 4.0}, lambda z: np.exp(-((2 * np.sin(4 * (np.abs(z) + 1) * z)) ** 2))),
    "hosc": ({"omega_0": 5.0, "beta": 3.0}, lambda z: np.tanh(3 * np.sin(5 * z))),
    "sinc": ({"omega_0": 5.0}, lambda z: np.sinc(5 * z / np.pi)),
    "spder": ({"omega_0": 5.0}, lambda z: np.sin(5 * z) * np.sqrt(np.maximum(np.abs(5 * z), 1e-6))),
    "h-siren": ({"omega_0": 5.0, "steepness": 1.5}, wave(5.0)),
    "quadratic": ({"s": 3.0}, lambda z: 1 / (1 + 9 * z**2)),
    "multiquadratic": ({"s": 3.0}, lambda z: 1 / np.sqrt(1 + 9 * z**2)),
    "laplacian": ({"s": 3.0}, lambda z: np.exp(-3 * np.abs(z))),
    "super-gaussian": ({"s": 3.0, "gaussian_power": 1.5}, lambda z: np.exp(-((3 * z) ** 2) / 2) ** 1.5),
    "expsin": ({"omega_0": 3.0}, lambda z: np.exp(np.sin(3 * z))),
}
# These are compared by tests of their own.
OTHERS = {"wire", "wire-real", "staf", "incode"}


def value(name, z, numbers=None, first=False, **settings):
    row = ACTIVATIONS[name]
    function, arguments = (row, (z,)) if numbers is None else (row.apply, (numbers, z))
    provided = {"first": first} if "first" in {setting.name for setting in declared(function)} else {}
    return function(*arguments, **settings, **provided)


def test_every_activation_is_compared_with_a_definition_of_its_own():
    assert set(ACTIVATIONS) == {*REFERENCES, *OTHERS}


@pytest.mark.parametrize("name", REFERENCES)
def test_an_activation_is_its_definition_and_its_slope_is_that_of_the_definition(name):
    settings, reference = REFERENCES[name]
    z = jnp.asarray(Z, jnp.float32)
    np.testing.assert_allclose(value(name, z, **settings), reference(Z), atol=3e-6)
    if name.startswith("finer"):
        settings = settings | {"detached": False}
    slope = jax.vmap(jax.grad(lambda one: value(name, one, **settings)))(z)
    wanted = (reference(Z + 1e-6) - reference(Z - 1e-6)) / 2e-6
    smooth = np.abs(Z) > 0.01  # some have a corner at 0
    np.testing.assert_allclose(np.asarray(slope)[smooth], wanted[smooth], atol=2e-4)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("sine", {"omega_0": 30.0}, 0.141120),
        ("finer", {"omega_0": 30.0}, -0.157746),
        ("gauss", {"s": 30.0}, 1.2341e-4),
        ("gauss", {"s": 10.0}, 0.367879),
        ("finer-gauss", {"s": 3.0, "omega_0": 10.0}, 7.8623e-4),
        ("hosc", {"beta": 2.0, "omega_0": 30.0}, 0.274977),
        ("spder", {"omega_0": 30.0}, 0.244427),
    ],
)
def test_an_activation_has_the_value_that_was_computed_by_hand(name, settings, wanted):
    np.testing.assert_allclose(value(name, jnp.float32(0.1), **settings), wanted, atol=1e-6)


def test_h_siren_begins_with_a_sine_of_a_sinh():
    np.testing.assert_allclose(value("h-siren", jnp.float32(0.5), first=True), 0.922767, atol=1e-6)
    np.testing.assert_allclose(
        value("h-siren", jnp.float32(0.5), first=True, steepness=3.0), np.sin(np.sinh(1.5)), atol=1e-6
    )


def test_finers_factor_has_no_gradient_unless_it_is_asked_for():
    slope = jax.grad(lambda z, detached: value("finer", z, omega_0=5.0, detached=detached))
    z, inner = 0.3, 5 * 1.3 * 0.3
    np.testing.assert_allclose(slope(z, True), 5 * 1.3 * np.cos(inner), rtol=1e-5)
    np.testing.assert_allclose(slope(z, False), 5 * (2 * 0.3 + 1) * np.cos(inner), rtol=1e-5)


@pytest.mark.parametrize("name", ["spder", "sinc", "laplacian"])
def test_what_has_no_slope_at_zero_has_a_finite_one_here(name):
    slope = jax.grad(lambda z: value(name, z))
    assert all(
        np.isfinite(slope(jnp.float32(z))) and np.isfinite(value(name, jnp.float32(z)))
        for z in (0.0, -0.0, 1e-30, -1e-20)
    )


def test_a_complex_wire_is_what_complex_numbers_make_of_it():
    assert feed_of(ACTIVATIONS["wire"]).pairs
    z = (Z + 1j * U).astype(np.complex64)

    def of_pairs(real, imaginary):
        return value("wire", jnp.concatenate([real, imaginary]), omega_0=3.0, s=2.0)

    def of_complex(z):
        return jnp.exp(1j * 3.0 * z - jnp.abs(2.0 * z) ** 2)

    got, wanted = of_pairs(jnp.asarray(z.real), jnp.asarray(z.imag)), of_complex(z)
    np.testing.assert_allclose(got[: len(z)], wanted.real, atol=2e-6)
    np.testing.assert_allclose(got[len(z) :], wanted.imag, atol=2e-6)
    assert (np.abs(wanted) <= np.exp((3 / 4) ** 2) + 1e-6).all()
    loss = lambda real, imaginary: (of_pairs(real, imaginary) * jnp.arange(2 * len(z))).sum()  # noqa: E731

    def complex_loss(real, imaginary):
        out = of_complex(real + 1j * imaginary)
        return (jnp.concatenate([out.real, out.imag]) * jnp.arange(2 * len(z))).sum()

    parts = jnp.asarray(z.real), jnp.asarray(z.imag)
    for mine, theirs in zip(jax.grad(loss, (0, 1))(*parts), jax.grad(complex_loss, (0, 1))(*parts), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-3)
    one = value("wire", jnp.asarray([0.05, 0.02]), omega_0=20.0, s=10.0)
    np.testing.assert_allclose(one, [0.271003, 0.422062], atol=1e-6)


def test_a_real_wire_multiplies_the_functions_of_two_maps():
    one = value("wire-real", jnp.asarray([0.05, 0.02]), omega_0=20.0, s=10.0)
    np.testing.assert_allclose(one, [0.519117], atol=1e-6)


def complex_network(design, params, x):
    """A WIRE in complex numbers, with the parameters of a network of pairs."""
    layers = [params[name] for name in sorted(params)]
    out = x @ np.asarray(layers[0]["weight"], complex).T + np.asarray(layers[0]["bias"])
    for layer in layers[1:]:
        out = np.exp(20j * out - np.abs(10 * out) ** 2)
        bias = np.asarray(layer["bias_real"]) + 1j * np.asarray(layer.get("bias_imaginary", 0.0))
        out = out @ (np.asarray(layer["weight_real"]) + 1j * np.asarray(layer["weight_imaginary"])).T + bias
    return out.real


def task_of(side=8, kind="all"):
    return inr.tasks.split(np.random.default_rng(0).random((side, side, 3)).astype(np.float32), kind)


def test_a_network_of_pairs_is_the_network_of_complex_numbers():
    design, task = Design(network="wire", encoding="identity", domain="signed", width=6, depth=3, steps=0), task_of()
    network = inr.fit_many(design, inr.hypers(), task).network(0)
    coords = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, 5)], indexing="ij"), -1).reshape(-1, 2)
    wanted = complex_network(design, network.params["network"], coords)
    np.testing.assert_allclose(network(jnp.asarray(coords, jnp.float32)), wanted, atol=2e-5)


def parameters(**settings):
    state = shapes(Design(encoding="identity", **settings), Hyper(seed=0), task_of(4))
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"network": "finer", "width": 256, "depth": 4}, 198_915),
        ({"network": "gauss", "width": 256, "depth": 4}, 198_915),
        ({"network": "wire-real", "width": 181, "depth": 4}, 199_284),
        # 199,287 with the imaginary biases of the last layer, which nothing reads.
        ({"network": "wire", "width": 181, "depth": 4}, 199_284),
        ({"network": "staf", "width": 256, "depth": 4}, 198_915 + 3 * 5 * 4),
        ({"network": "staf", "width": 256, "depth": 4, "staf_terms": 2}, 198_915 + 3 * 2 * 4),
        ({"network": "incode", "width": 256, "depth": 4}, 198_915 + 4 * 4),
    ],
)
def test_real_parameters_are_as_many_as_the_published_networks_have(settings, wanted):
    assert parameters(**settings) == wanted


@pytest.mark.parametrize(
    ("name", "numbers", "scale"),
    [
        ("staf", {"frequency": [7.0], "phase": [0.0], "amplitude": [1.0]}, 1.0),
        ("incode", {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, 1.0),
        ("hosc", None, 1e-3),
        ("finer", None, 1.0),
    ],
)
def test_at_its_neutral_numbers_it_is_siren(name, numbers, scale):
    z = jnp.asarray(Z, jnp.float32) * (1e-4 if name == "finer" else 1.0)
    numbers = numbers and jax.tree.map(jnp.float32, {n: jnp.asarray(v) for n, v in numbers.items()})
    settings = {} if name == "staf" else {"omega_0": 7.0}
    settings |= {"beta": scale} if name == "hosc" else {}
    np.testing.assert_allclose(value(name, z, numbers, **settings) / scale, np.sin(7.0 * np.asarray(z)), atol=1e-5)


def test_what_staf_and_incode_learn_is_drawn_as_their_code_draws_it():
    drawn = activations.staf_numbers(jax.random.key(0), staf_terms=20_000, omega_0=3.0, first=False)
    assert drawn["frequency"].min() >= 0 and 2.99 < drawn["frequency"].max() <= 3
    assert -np.pi <= drawn["phase"].min() < -3.13 and 3.13 < drawn["phase"].max() <= np.pi
    # E sgn(l)² |l| of a Laplace of this scale.
    np.testing.assert_allclose(np.square(drawn["amplitude"]).mean(), 1 / 40_000, rtol=0.05)
    first = activations.staf_numbers(jax.random.key(0), staf_terms=20_000, omega_0=3.0, omega_first=6.0, first=True)
    np.testing.assert_allclose(first["frequency"], 2 * drawn["frequency"], rtol=1e-6)
    assert [float(each) for each in activations.incode_numbers(jax.random.key(0)).values()] == 4 * [np.float32(0.312)]


@pytest.mark.parametrize("name", [name for name in NETWORKS if "omega_first" in reads(Design(network=name))])
def test_the_first_layer_has_a_factor_of_its_own_that_is_by_default_the_others(name):
    design, task = Design(network=name, encoding="identity", width=8, depth=2, steps=0), task_of()
    default = float(reads(design)["omega_0"].default)
    fits = inr.fit_many(design, inr.hypers(omega_first=[0.0, default, 2 * default]), task)
    pictures = np.stack([fits.predict(row, (8, 8)) for row in range(3)])
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert not np.allclose(pictures[0], pictures[2], atol=1e-3)


def test_finers_first_biases_span_k_and_the_others_do_not():
    design, task = Design(network="finer", encoding="identity", width=512, depth=2), task_of()
    plain, wide = (init(design, Hyper(seed=0, k=np.float32(k)), task).params["network"] for k in (0.0, 5.0))
    bounds = [float(np.abs(each["Dense_0"]["bias"]).max()) for each in (plain, wide)]
    assert 0.7 < bounds[0] <= 2**-0.5 and 4.9 < bounds[1] <= 5
    jax.tree.map(np.testing.assert_array_equal, plain["Dense_1"], wide["Dense_1"])


def test_numbers_have_the_defaults_of_their_network():
    defaults = {name: {n: s.default for n, s in reads(Design(network=name)).items()} for name in NETWORKS}
    assert [defaults[name]["omega_0"] for name in ("siren", "finer", "wire", "finer-gauss")] == [30, 30, 20, 10]
    assert [defaults[name]["s"] for name in ("gauss", "wire", "multiquadratic", "finer-gauss")] == [30, 10, 20, 3]
    assert [defaults[name]["k"] for name in ("finer", "finer-gauss")] == [0, 1]
    given = Design(network="wire", encoding="identity", domain="signed", width=6, depth=2, steps=3)
    both = [inr.fit_many(given, members, task_of()) for members in (inr.hypers(), inr.hypers(omega_0=20.0, s=10.0))]
    np.testing.assert_array_equal(*[fits.predict(0, (8, 8)) for fits in both])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*NETWORKS} - {"mlp", "direct"}))
def test_a_network_fits_a_small_photograph_at_its_defaults(name):
    behind = "gaussian" if name in ("relu", "gelu", "silu", "tanh") else "identity"
    # Of period 1: at coordinates of both ends of an image it has the same value.
    domain = "unit" if name == "bacon" else "signed"
    design = Design(network=name, encoding=behind, domain=domain, frequencies=32, width=64, depth=3, steps=400)
    task = inr.tasks.split(inr.images.load("astronaut", 32), "all")
    fits = inr.fit_many(design, inr.hypers(learning_rate=[1e-3, 3e-3, 1e-2]), task)
    assert max(fits.psnr_train) > 25 and fits.diverged_at[0] == -1


FAST = ("wire",)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in sorted({*NETWORKS} - {"mlp", "direct"})],
)
def test_a_member_of_several_is_its_single_fit_and_leaves_as_a_file(name, tmp_path):
    design = Design(network=name, encoding="identity", domain="signed", width=8, depth=2, steps=5)
    rates = inr.hypers(learning_rate=[1e-3, 2e-3])
    fits = inr.fit_many(design, rates, task_of())
    alone = inr.fit_many(design, inr.hypers(learning_rate=2e-3), task_of())
    np.testing.assert_allclose(fits.psnr_train[1], alone.psnr_train[0], atol=1e-3)
    path = tmp_path / "member.safetensors"
    path.write_bytes(export.to_safetensors(fits.network(0)))
    np.testing.assert_array_equal(inr.load_network(path).predict((40, 24)), fits.predict(0, (40, 24)))
    assert export.to_stablehlo(fits.network(0))


def test_every_row_says_what_it_is_and_a_rule_that_does_not_fit_is_refused():
    for registry in (ACTIVATIONS, NETWORKS):
        assert all(meaning(row) for row in registry.values())
    with pytest.raises(Refused, match="init='finer' needs an activation with omega_0"):
        shapes(Design(network="gauss", init="finer", encoding="identity"), Hyper(seed=0), task_of())


def gate(key, *, start: float = 0.5):
    return {"gate": jnp.full((), start, jnp.float32)}


def gated(numbers, z, *, slope: float = 1.0):
    return jax.nn.relu(z) * numbers["gate"] + slope * z


def test_a_custom_activation_may_learn_numbers():
    design = Design(network="mlp", activation=Activation(gate, gated), encoding="identity", width=8, depth=2, steps=20)
    fits = inr.fit_many(design, inr.hypers(design, start=[0.5, 2.0], slope=0.1), task_of())
    learned = fits.params["network"]["activation_0"]["gate"]
    assert learned.shape == (2,) and (np.abs(learned - np.asarray([0.5, 2.0])) > 1e-4).all()
    assert key(Hyper(seed=0), "params").shape == ()
