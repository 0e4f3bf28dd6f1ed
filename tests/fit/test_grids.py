"""Encodings that learn: separable bases and hash grids, against independent interpolation and values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate

import inr_jax as inr
from inr_jax.fit import grids, separable
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.encodings import Variables
from inr_jax.fit.grids import INTERPOLATIONS
from inr_jax.fit.member import init, shapes
from inr_jax.fit.separable import BASES
from inr_jax.runs import export
from inr_jax.settings import Refused


def task_of(side=8):
    return inr.tasks.split(np.random.default_rng(0).random((side, side, 3)).astype(np.float32), "all")


def points(n=50, low=-1.0, high=1.0):
    return np.random.default_rng(1).uniform(low, high, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("name", ["sinc", "lanczos", "triangle"])
def test_a_function_of_a_basis_is_1_at_its_own_centre_and_0_at_all_others(name):
    centres = np.linspace(-1, 1, 9, dtype=np.float32)
    (values,) = separable.basis_values(jnp.asarray(centres)[:, None], 2.0, 9, BASES[name], False)
    np.testing.assert_allclose(values, np.eye(9), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "cells", "wanted"),
    [
        ("sinc", 4, [-0.2236, 0.6708, 0.6708, -0.2236]),
        ("lanczos", 8, [0.0, 0.02759, -0.15328, 0.68974, 0.68974, -0.15328, 0.02759, 0.0]),
    ],
)
def test_a_normalised_basis_has_the_values_that_were_computed_by_hand(name, cells, wanted):
    (values,) = separable.basis_values(jnp.zeros((1, 1)), 2.0, cells, BASES[name], True)
    np.testing.assert_allclose(values[0], wanted, atol=1e-4)


def test_the_cosines_are_those_of_numpy():
    x = points()[:, :1]
    (values,) = separable.basis_values(jnp.asarray(x), 2.0, 5, BASES["cosine"], False)
    np.testing.assert_allclose(values, np.cos(np.arange(5) * np.pi * (x + 1) / 2), atol=1e-5)


@pytest.mark.parametrize(("side", "low"), [(2.0, -1.0), (1.0, 0.0)])
def test_lines_are_interpolated_as_scipy_does_over_the_image_of_either_domain(side, low):
    lines = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    coords = points(low=low)
    found = separable.tensorf(Variables({"lines": jnp.asarray(lines)}, {}), jnp.asarray(coords), cells=6, side=side)
    at = np.linspace(low, 1, 6)
    axes = [scipy.interpolate.interp1d(at, lines[axis])(coords[:, axis]) for axis in range(2)]
    np.testing.assert_allclose(found, (axes[0] * axes[1]).T, atol=1e-5)


@pytest.mark.parametrize(("basis", "window"), [("sinc", np.inf), ("lanczos", 3.0)])
def test_the_sine_that_all_centres_share_is_numpys_sinc_at_each(basis, window):
    x = np.concatenate([points(500)[:, 0], np.linspace(-1, 1, 320, dtype=np.float32)])
    t = (x[:, None].astype(np.float64) + 1) * 0.5 * 319 - np.arange(320)
    wanted = np.sinc(t) * (np.sinc(t / 3) * (np.abs(t) < 3) if basis == "lanczos" else 1)
    np.testing.assert_allclose(BASES[basis](jnp.asarray(x), 320), wanted, atol=5e-5)


def keys_kernel(x, a=-0.75):
    """Cubic convolution as Keys (1981) writes it."""
    x = np.abs(x)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def test_a_dense_grid_is_interpolated_by_cubic_convolution_with_its_outermost_values_beyond_its_ends():
    values = np.random.default_rng(0).normal(size=(6, 6, 2))
    padded = np.pad(values, ((3, 3), (3, 3), (0, 0)), mode="edge")
    place = points(low=0.0)
    weights = [keys_kernel(place[:, axis : axis + 1] * 5 - np.arange(-3, 9)) for axis in range(2)]
    wanted = np.einsum("ni,nj,ijf->nf", *weights, padded)
    found = grids.grid(
        Variables({"grid": jnp.asarray(values, jnp.float32)}, {}),
        jnp.asarray(place),
        interpolation=INTERPOLATIONS["cubic"],
        side=1.0,
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_dense_grid_is_interpolated_linearly_as_scipy_does_in_any_dimensions(dims):
    values = np.random.default_rng(0).normal(size=(5,) * dims + (3,)).astype(np.float32)
    place = np.random.default_rng(1).random((40, dims)).astype(np.float32)
    found = grids.interpolated(jnp.asarray(values), jnp.asarray(place), grids.linear)
    wanted = scipy.interpolate.RegularGridInterpolator([np.linspace(0, 1, 5)] * dims, values)(place)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_an_interpolation_keeps_constants_and_the_values_at_vertices(name):
    values = np.random.default_rng(0).normal(size=(7, 7, 1)).astype(np.float32)
    at = np.stack(np.meshgrid(*[np.linspace(0, 1, 7, dtype=np.float32)] * 2, indexing="ij"), -1).reshape(-1, 2)
    found = grids.interpolated(jnp.asarray(values), jnp.asarray(at), INTERPOLATIONS[name])
    np.testing.assert_allclose(found.reshape(7, 7, 1), values, atol=1e-5)
    flat = grids.interpolated(jnp.full((7, 7, 1), 0.3), jnp.asarray(points(low=-0.2)), INTERPOLATIONS[name])
    np.testing.assert_allclose(flat, 0.3, atol=1e-6)


def test_planes_are_lines_beside_an_interpolated_plane():
    draw = np.random.default_rng(0)
    lines, plane = draw.normal(size=(2, 3, 6)), draw.normal(size=(1, 5, 5, 3))
    variables = Variables({"lines": jnp.asarray(lines, jnp.float32), "planes": jnp.asarray(plane, jnp.float32)}, {})
    place = points(low=0.0)
    found = grids.planes(variables, jnp.asarray(place), cells=6, side=1.0)
    line = separable.tensorf(Variables({"lines": variables.get("lines")}, {}), jnp.asarray(place), cells=6, side=1.0)
    np.testing.assert_allclose(found[:, :3], line, atol=1e-6)
    wanted = scipy.interpolate.RegularGridInterpolator([np.linspace(0, 1, 5)] * 2, plane[0])(place)
    np.testing.assert_allclose(found[:, 3:], wanted, atol=1e-5)


def test_without_a_network_a_grids_features_are_the_values_and_must_be_as_many():
    design = Design(encoding="grid", network="direct", rank=3, cells=4, steps=0)
    fits = inr.fit_many(design, inr.hypers(design, grid_start=[0.25]), task_of())
    np.testing.assert_allclose(fits.predict(0, (8, 8)), 0.25, atol=1e-6)
    with pytest.raises(Refused, match="2 of them, for 3 channels"):
        inr.fit_many(design.replace(rank=2), inr.hypers(), task_of())


@pytest.mark.parametrize(("vertex", "entry"), [((3, 5), 118), ((100, 200), 4652), ((383, 383), 3760)])
def test_a_vertex_is_hashed_to_the_entry_that_was_computed_by_hand(vertex, entry):
    scale = 4096.0  # too fine for a dense table; half a cell further down lies the vertex
    unit = (np.asarray([vertex], np.float32) - 0.5) / scale
    index, weight = grids.corners(jnp.asarray(unit), scale, 13)
    np.testing.assert_array_equal(index[0], [entry])
    np.testing.assert_allclose(weight[:, 0], [1, 0, 0, 0], atol=1e-3)


def test_weights_of_the_corners_sum_to_1_and_positions_are_shifted_by_half_a_cell():
    index, weight = grids.corners(jnp.asarray(points(low=0.0)), 15.0, 13)
    assert index.shape == weight.shape == (4, 50) and index.max() < 2**13
    np.testing.assert_allclose(weight.sum(0), 1, atol=1e-6)
    one, _ = grids.corners(jnp.asarray([[0.3, 0.7]]), 15.0, 13)
    assert int(one[0, 0]) == 5 + 11 * 16


def test_where_nothing_collides_a_hash_grid_is_a_dense_grid_that_scipy_interpolates():
    side, entries = 16, 9  # 16 x 16 vertices, and one more row and column beyond the last half cell
    table = np.random.default_rng(0).normal(size=(1, 2**entries, 2)).astype(np.float32)
    coords = points(low=0.0, high=0.95)
    variables = Variables({"table": jnp.asarray(table)}, {})
    settings = {"hash_levels": 1, "hash_entries": entries, "coarsest": side, "finest": 64.0, "side": 1.0}
    found = grids.hashed(variables, jnp.asarray(coords), **settings)
    dense = table[0, : side * side].reshape(side, side, 2)  # the first axis fastest
    interpolate = scipy.interpolate.RegularGridInterpolator((range(side), range(side)), dense)
    np.testing.assert_allclose(found, interpolate((coords * (side - 1) + 0.5)[:, ::-1]), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"encoding": "futon", "rank": 224, "cells": 320, "width": 224, "depth": 1}, 194_435),
        ({"encoding": "tensorf", "rank": 176, "cells": 256, "width": 256, "depth": 2}, 201_987),
        ({"encoding": "planes", "rank": 25, "cells": 256, "plane_cells": 64, "width": 256, "depth": 2}, 194_819),
        ({"encoding": "grid", "rank": 3, "cells": 20, "network": "direct"}, 3 * 20 * 20),
        (
            {"encoding": "hash", "hash_levels": 3, "hash_entries": 4, "width": 8, "depth": 1},
            3 * 16 * 2 + 6 * 8 + 8 + 27,
        ),
    ],
)
def test_parameters_are_as_many_as_the_published_encodings_have(settings, wanted):
    design = Design(**{"network": "relu", "init": "torch"} | settings)
    state = shapes(design, Hyper(seed=0), task_of())
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == wanted


def test_first_values_are_drawn_as_their_sources_draw_them():
    hyper = Hyper(seed=0, line_spread=np.float32(0.3), table_bound=np.float32(0.5))
    drawn = {
        name: init(Design(encoding=name, rank=64, cells=200), hyper, task_of()).params["encoding"]
        for name in ("futon", "tensorf", "hash")
    }
    bound = np.sqrt(6 / 200)
    assert 0.99 * bound < np.abs(drawn["futon"]["weight"]).max() <= bound
    np.testing.assert_allclose(np.std(drawn["tensorf"]["lines"]), 0.3, rtol=0.02)
    assert 0.49 < np.abs(drawn["hash"]["table"]).max() <= 0.5


@pytest.mark.parametrize(
    "encoding",
    ["hash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("futon", "tensorf", "grid", "planes"))],
)
def test_a_member_of_several_is_its_single_fit_learns_its_encoding_and_leaves_as_a_file(encoding, tmp_path):
    small = {"rank": 8, "cells": 6, "plane_cells": 4, "hash_levels": 3, "hash_entries": 6}
    design = Design(encoding=encoding, width=8, depth=1, steps=5, **small)
    axes = {"finest": [16.0, 32.0]} if encoding == "hash" else {"seed": [0, 1]}
    fits = inr.fit_many(design, inr.hypers(learning_rate=1e-2, **axes), task_of())
    last = {name: values[1] for name, values in axes.items()}
    alone = inr.fit_many(design, inr.hypers(learning_rate=1e-2, **last), task_of())
    np.testing.assert_allclose(fits.psnr_train[1], alone.psnr_train[0], atol=1e-3)
    before = init(design, Hyper(seed=0, **{n: v[0] for n, v in axes.items() if n != "seed"}), task_of())
    *_, name = before.params["encoding"]
    assert not np.allclose(fits.params["encoding"][name][0], before.params["encoding"][name], atol=1e-4)
    path = tmp_path / "member.safetensors"
    path.write_bytes(export.to_safetensors(fits.network(1)))
    np.testing.assert_array_equal(inr.load_network(path).predict((11, 6)), fits.predict(1, (11, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["futon", "tensorf", "hash", "grid", "planes"])
def test_an_encoding_that_learns_fits_a_small_photograph_at_its_defaults(encoding):
    network = {"network": "direct", "rank": 3} if encoding == "grid" else {"init": "torch", "width": 64, "depth": 1}
    task = inr.tasks.split(inr.images.load("astronaut", 32), "all")
    design = Design(encoding=encoding, steps=400, **network)
    fits = inr.fit_many(design, inr.hypers(learning_rate=[1e-2, 3e-2, 1e-1]), task)
    assert max(fits.psnr_train) > 25


def test_what_has_no_kernel_is_refused_when_one_is_asked_for():
    with pytest.raises(Refused, match="encoding='futon' has no kernel"):
        inr.best_scale(Design(encoding="futon"), inr.tasks.split(np.zeros((8, 8))))
