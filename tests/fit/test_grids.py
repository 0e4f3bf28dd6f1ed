"""Encodings that learn: separable bases and hash grids, against independent interpolation and values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate

import inr_jax as inr
from inr_jax.fit import grids
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.encodings import Variables
from inr_jax.fit.grids import BASES
from inr_jax.fit.member import init, shapes
from inr_jax.runs import export
from inr_jax.settings import Refused


def task_of(side=8):
    return inr.tasks.split(np.random.default_rng(0).random((side, side, 3)).astype(np.float32), "all")


def points(n=50, low=-1.0, high=1.0):
    return np.random.default_rng(1).uniform(low, high, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("name", ["sinc", "lanczos", "triangle"])
def test_a_function_of_a_basis_is_1_at_its_own_centre_and_0_at_all_others(name):
    centres = np.linspace(-1, 1, 9, dtype=np.float32)
    (values,) = grids.basis_values(jnp.asarray(centres)[:, None], 2.0, 9, BASES[name], False)
    np.testing.assert_allclose(values, np.eye(9), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "cells", "wanted"),
    [
        ("sinc", 4, [-0.2236, 0.6708, 0.6708, -0.2236]),
        ("lanczos", 8, [0.0, 0.02759, -0.15328, 0.68974, 0.68974, -0.15328, 0.02759, 0.0]),
    ],
)
def test_a_normalised_basis_has_the_values_that_were_computed_by_hand(name, cells, wanted):
    (values,) = grids.basis_values(jnp.zeros((1, 1)), 2.0, cells, BASES[name], True)
    np.testing.assert_allclose(values[0], wanted, atol=1e-4)


def test_the_cosines_are_those_of_numpy():
    x = points()[:, :1]
    (values,) = grids.basis_values(jnp.asarray(x), 2.0, 5, BASES["cosine"], False)
    np.testing.assert_allclose(values, np.cos(np.arange(5) * np.pi * (x + 1) / 2), atol=1e-5)


@pytest.mark.parametrize(("side", "low"), [(2.0, -1.0), (1.0, 0.0)])
def test_lines_are_interpolated_as_scipy_does_over_the_image_of_either_domain(side, low):
    lines = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    coords = points(low=low)
    found = grids.tensorf(Variables({"weight": jnp.asarray(lines)}, {}), jnp.asarray(coords), cells=6, side=side)
    at = np.linspace(low, 1, 6)
    axes = [scipy.interpolate.interp1d(at, lines[axis])(coords[:, axis]) for axis in range(2)]
    np.testing.assert_allclose(found, (axes[0] * axes[1]).T, atol=1e-5)


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
        (
            {"encoding": "hash", "hash_levels": 3, "hash_entries": 4, "width": 8, "depth": 1},
            3 * 16 * 2 + 6 * 8 + 8 + 27,
        ),
    ],
)
def test_parameters_are_as_many_as_the_published_encodings_have(settings, wanted):
    state = shapes(Design(network="relu", init="torch", **settings), Hyper(seed=0), task_of())
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == wanted


def test_first_values_are_drawn_as_their_sources_draw_them():
    hyper = Hyper(seed=0, line_spread=np.float32(0.3), table_bound=np.float32(0.5))
    drawn = {
        name: init(Design(encoding=name, rank=64, cells=200), hyper, task_of()).params["encoding"]
        for name in ("futon", "tensorf", "hash")
    }
    bound = np.sqrt(6 / 200)
    assert 0.99 * bound < np.abs(drawn["futon"]["weight"]).max() <= bound
    np.testing.assert_allclose(np.std(drawn["tensorf"]["weight"]), 0.3, rtol=0.02)
    assert 0.49 < np.abs(drawn["hash"]["table"]).max() <= 0.5


@pytest.mark.parametrize("encoding", ["futon", "tensorf", "hash"])
def test_a_member_of_several_is_its_single_fit_learns_its_encoding_and_leaves_as_a_file(encoding, tmp_path):
    small = {"rank": 8, "cells": 6} if encoding != "hash" else {"hash_levels": 3, "hash_entries": 6}
    design = Design(encoding=encoding, width=8, depth=1, steps=5, **small)
    axes = {"finest": [16.0, 32.0]} if encoding == "hash" else {"seed": [0, 1]}
    fits = inr.fit_many(design, inr.hypers(learning_rate=1e-2, **axes), task_of())
    last = {name: values[1] for name, values in axes.items()}
    alone = inr.fit_many(design, inr.hypers(learning_rate=1e-2, **last), task_of())
    np.testing.assert_allclose(fits.psnr_train[1], alone.psnr_train[0], atol=1e-3)
    before = init(design, Hyper(seed=0, **{n: v[0] for n, v in axes.items() if n != "seed"}), task_of())
    (name,) = before.params["encoding"]
    assert not np.allclose(fits.params["encoding"][name][0], before.params["encoding"][name], atol=1e-4)
    path = tmp_path / "member.safetensors"
    path.write_bytes(export.to_safetensors(fits.network(1)))
    np.testing.assert_array_equal(inr.load_network(path).predict((11, 6)), fits.predict(1, (11, 6)))


def test_what_has_no_kernel_is_refused_when_one_is_asked_for():
    with pytest.raises(Refused, match="encoding='futon' has no kernel"):
        inr.best_scale(Design(encoding="futon"), inr.tasks.split(np.zeros((8, 8))))
