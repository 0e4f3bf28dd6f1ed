"""Matrices of differences against dense ones: products, preconditioners, conjugate gradients, Lanczos' method."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.sparse.linalg

from inr_jax.data import images
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.pinned import double_precision
from inr_jax.kernel import toeplitz
from inr_jax.kernel.correlation import encoding_waves
from inr_jax.kernel.krylov import combine_lanczos, conjugate_gradients, lanczos, lanczos_start, tridiagonal_function
from inr_jax.kernel.lattice import equations_of
from inr_jax.kernel.ntk import ntk_of_differences
from inr_jax.kernel.regression import ridge_operators
from inr_jax.tasks.splits import split

GRIDS = [(9,), (7, 4), (3, 4, 5)]
RIDGE = 1e-3
SMALL, DESIGN = Design(frequencies=32), Design(frequencies=256)
# Grids, the boxes around them that waves repeat after, and how many of these the preconditioners solve exactly.
BOXES = [((12,), (15,)), ((6, 5), (8, 6)), ((3, 4, 3), (4, 5, 4))]
SOME, EVERY = 10, 1000
CASES = [(*BOXES[0], EVERY), (*BOXES[1], 1), (*BOXES[1], SOME), (*BOXES[1], EVERY), (*BOXES[2], SOME)]
CASES += [(*BOXES[2], EVERY)]


@pytest.fixture(autouse=True)
def in_double_precision():
    with double_precision():
        yield


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def points(grid):
    return np.stack(np.indices(grid), axis=-1).reshape(-1, len(grid))


def dense(differences, grid):
    """The matrix between row-major points of a grid whose entries are the values at their differences."""
    apart = points(grid)[:, None] - points(grid)[None] + np.asarray(grid) - 1
    return np.asarray(differences)[tuple(np.moveaxis(apart, -1, 0))]


def wrapped(column, grid):
    """The same of what repeats after the column's sides."""
    apart = (points(grid)[:, None] - points(grid)[None]) % column.shape
    return np.asarray(column)[tuple(np.moveaxis(apart, -1, 0))]


def column_and_kernel(grid, period, scale=3.0):
    """A circulant's column on a box around the grid, and the kernel on the grid."""
    extended = ntk_of_differences(SMALL, encoding_waves(SMALL, Hyper(scale=scale), grid, period))
    inside = tuple(slice(p - n, p + n - 1) for p, n in zip(period, grid, strict=True))
    return toeplitz.circulant(extended), extended[inside]


def some_of(grid):
    """Most points of the grid, at random."""
    return np.random.default_rng(3).random(grid) < 0.7


@cache
def inverses(grid, period, modes):
    """The preconditioners as matrices, column by column: on the whole grid, and on some points of it."""
    column, ntk = column_and_kernel(grid, period)
    mask = some_of(grid)
    unit = jnp.eye(mask.size).reshape(-1, *grid)

    @jax.jit
    def columns(column, ntk):
        products = toeplitz.filled_inverse(column, ntk, RIDGE), toeplitz.scattered_inverse(column, mask, RIDGE)
        return [product(unit * known) for product, known in zip(products, (1, mask), strict=True)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(toeplitz, "MODES", min(modes, column.size))
        patched.setattr(toeplitz, "SHARE", 1000)
        whole, part = (np.asarray(x).reshape(mask.size, mask.size).T for x in columns(column, ntk))
    known = mask.ravel()
    # It is zero at points that are not known.
    np.testing.assert_array_equal(part[~known], 0.0)
    return whole, part[known][:, known]


def spectrum_of(count, seed=0):
    """A dense positive definite matrix with these many eigenvalues, from 1e-3 to 1."""
    orthogonal = np.linalg.qr(noise(count, count, seed=seed))[0]
    return orthogonal * np.geomspace(1e-3, 1, count) @ orthogonal.T


@pytest.mark.parametrize("grid", GRIDS)
def test_the_product_by_fourier_transforms_is_the_dense_product(grid):
    ntk = noise(*(2 * n - 1 for n in grid))
    ntk = ntk + np.flip(ntk)
    x = noise(2, *grid, seed=1)
    expected = x.reshape(2, -1) @ dense(ntk, grid).T
    actual = toeplitz.convolution(ntk, grid)(jnp.asarray(x))
    np.testing.assert_allclose(actual, expected.reshape(x.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_circulant_is_the_nearest_one_in_the_frobenius_norm(grid):
    ntk = noise(*(2 * n - 1 for n in grid))
    matrix = dense(ntk + np.flip(ntk), grid)
    # The nearest has the mean of every wrapped diagonal.
    apart = (points(grid)[:, None] - points(grid)[None]) % grid
    expected = [matrix[(apart == difference).all(-1)].mean() for difference in points(grid)]
    actual = toeplitz.circulant(ntk + np.flip(ntk))
    np.testing.assert_allclose(actual, np.reshape(expected, grid), atol=1e-12)
    assert np.linalg.eigvalsh(wrapped(actual, grid)).min() >= np.linalg.eigvalsh(matrix).min() - 1e-12


def test_conjugate_gradients_solve_the_equations_of_every_colour():
    matrix, target = spectrum_of(30), noise(3, 30)
    # An eigenvector is solved in one step, long before the others.
    target[1] = np.linalg.eigh(matrix)[1][:, 4]
    solution = conjugate_gradients(lambda x: x @ matrix, lambda x: x, target, 1e-10, 500)
    np.testing.assert_allclose(solution.x, np.linalg.solve(matrix, target.T).T, rtol=1e-6, atol=1e-6)
    error = target - np.asarray(solution.x) @ matrix
    relative = np.linalg.norm(error, axis=1) / np.linalg.norm(target, axis=1)
    assert solution.residual == pytest.approx(relative.max(), rel=1e-3)
    assert solution.residual < 1.1e-10
    assert 1 < solution.iterations < 500


def test_the_exact_inverse_as_a_preconditioner_leaves_one_iteration():
    matrix = spectrum_of(30)
    inverse = np.linalg.inv(matrix)
    solution = conjugate_gradients(lambda x: x @ matrix, lambda x: x @ inverse, noise(3, 30), 1e-8, 500)
    assert solution.iterations == 1


def test_the_residual_that_is_reported_is_the_true_one_and_not_the_recursions():
    orthogonal = np.linalg.qr(noise(30, 30))[0]
    matrix, target = orthogonal * np.geomspace(1e-6, 1, 30) @ orthogonal.T, noise(2, 30)
    solution = conjugate_gradients(lambda x: x @ matrix, lambda x: x, target, 1e-13, 5000)
    # The recursion has ended and takes its residual for smaller than the tolerance.
    assert solution.iterations < 5000
    error = target - np.asarray(solution.x) @ matrix
    relative = np.linalg.norm(error, axis=1) / np.linalg.norm(target, axis=1)
    assert solution.residual == pytest.approx(relative.max(), rel=0.3)
    assert solution.residual > 1e-12


def test_a_constant_colour_is_solved_at_once_and_disturbs_no_other():
    matrix, target = spectrum_of(30), noise(3, 30)
    target[1] = 0.0
    solve = partial(conjugate_gradients, lambda x: x @ matrix, lambda x: x)
    solution = solve(target, 1e-10, 500)
    np.testing.assert_array_equal(solution.x[1], 0.0)
    np.testing.assert_allclose(solution.x, np.linalg.solve(matrix, target.T).T, rtol=1e-6, atol=1e-6)
    nothing = solve(np.zeros((2, 30)), 1e-10, 500)
    assert (nothing.iterations, nothing.residual) == (0, 0.0)
    np.testing.assert_array_equal(nothing.x, 0.0)


def test_conjugate_gradients_stop_at_the_limit():
    matrix, target = spectrum_of(30), noise(3, 30)
    solution = conjugate_gradients(lambda x: x @ matrix, lambda x: x, target, 1e-10, 4)
    assert solution.iterations == 4
    assert solution.residual > 1e-3


@pytest.mark.parametrize(("grid", "period", "modes"), CASES)
def test_the_preconditioners_are_symmetric_and_positive_definite(grid, period, modes):
    for matrix in inverses(grid, period, modes):
        assert len(matrix) > 7
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-9 * np.abs(matrix).max())
        assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0


@pytest.mark.parametrize(("grid", "period"), BOXES)
def test_of_all_waves_the_scattered_inverse_is_that_of_the_circulant_on_the_points_plus_ridge(grid, period):
    column, _ = column_and_kernel(grid, period)
    known = some_of(grid).ravel()
    matrix = wrapped(column, grid)[known][:, known] + RIDGE * np.eye(known.sum())
    _, actual = inverses(grid, period, EVERY)
    expected = np.linalg.inv(matrix)
    np.testing.assert_allclose(actual, expected, atol=1e-8 * np.abs(expected).max())


def test_of_some_waves_the_scattered_inverse_takes_the_others_for_noise_of_their_power():
    grid, period = BOXES[1]
    column, _ = column_and_kernel(grid, period)
    power = np.fft.fftn(column).real
    kept = np.where(power > 0.999999 * np.sort(power.ravel())[-SOME], power, 0.0)
    assert (kept > 0).sum() == SOME
    strong, known = np.fft.ifftn(kept).real, some_of(grid).ravel()
    noisy = wrapped(strong, grid) + (RIDGE + column[0, 0] - strong[0, 0]) * np.eye(len(known))
    _, actual = inverses(grid, period, SOME)
    np.testing.assert_allclose(actual, np.linalg.inv(noisy[known][:, known]), atol=1e-9)


@pytest.mark.parametrize(("grid", "period", "modes"), CASES)
def test_the_filled_inverse_leaves_the_weaker_waves_to_a_circulant(grid, period, modes):
    column, ntk = column_and_kernel(grid, period)
    most = int((min(modes, column.size) ** (1 / len(grid)) - 1) / 2)
    inside = [np.abs(np.fft.fftfreq(n, 1 / n)) < min(most, (n - 1) // 2) + 0.5 for n in period]
    kept = np.logical_and.reduce(np.meshgrid(*inside, indexing="ij"))
    strong = np.fft.ifftn(np.where(kept, np.fft.fftn(column).real, 0.0)).real
    apart = np.indices(ntk.shape) - np.reshape(grid, (-1, *[1] * len(grid))) + 1
    weaker = toeplitz.circulant(ntk - strong[tuple(d % n for d, n in zip(apart, period, strict=True))])
    # Without waves of negative power, of which no covariance is made.
    weaker = np.fft.ifftn(np.maximum(np.fft.fftn(weaker).real, 0.0)).real
    matrix = wrapped(strong, grid) + wrapped(weaker, grid) + RIDGE * np.eye(int(np.prod(grid)))
    actual, _ = inverses(grid, period, modes)
    expected = np.linalg.inv(matrix)
    np.testing.assert_allclose(actual, expected, atol=1e-8 * np.abs(expected).max())


@partial(jax.jit, static_argnames="lattice")
def solution(lattice, waves, equations):
    multiply, inverse = ridge_operators(DESIGN, lattice, waves, equations, RIDGE)
    return conjugate_gradients(multiply, inverse, equations.target, 1e-6, 300)


@cache
def posed(kind, scale, fraction=0.25, drawn=True):
    """The regression of the astronaut without colours."""
    image = images.load("astronaut", size=64).mean(-1, keepdims=True)
    lattice, equations = equations_of(split(image, kind, fraction))
    assert lattice.filled == (kind not in ("checkerboard", "random"))
    return lattice, encoding_waves(DESIGN, Hyper(scale=scale), lattice.grid, lattice.reach, drawn), equations


@cache
def solved(*problem, **options):
    return solution(*posed(*problem, **options))


def plain_iterations(lattice, waves, equations):
    """How many SciPy's conjugate gradients take without a preconditioner, at most 300."""
    on_lattice = [w[:: line[2]][:n] for w, line, n in zip(waves, lattice.lines, lattice.shape, strict=True)]
    ntk, mask = ntk_of_differences(DESIGN, tuple(on_lattice), 1), equations.mask
    size = [scipy.fft.next_fast_len(n, real=True) for n in ntk.shape]
    transform = scipy.fft.rfftn(ntk, size)

    def product(x):
        x = x.reshape(mask.shape)
        full = scipy.fft.irfftn(scipy.fft.rfftn(x, size) * transform, size)
        inner = tuple(slice(n - 1, 2 * n - 1) for n in mask.shape)
        return (mask * full[inner] + RIDGE * x).ravel()

    count = 0

    def counted(_):
        nonlocal count
        count += 1

    matrix = scipy.sparse.linalg.LinearOperator((mask.size, mask.size), product, dtype=float)
    scipy.sparse.linalg.cg(matrix, equations.target.ravel(), rtol=1e-6, maxiter=300, callback=counted)
    return count


@pytest.mark.parametrize("kind", ["quarter", "all", "checkerboard", "random"])
def test_the_preconditioners_save_most_of_the_iterations_where_they_are_many(kind):
    for scale, part in [(0.5, 0.25), (2.0, 0.25), (16.0, 1.0)]:
        ours = solved(kind, scale)
        assert ours.residual < 1.1e-6
        # At a large scale the kernel is nearly that of noise, which needs few: it may not cost any.
        assert ours.iterations <= part * plain_iterations(*posed(kind, scale))


@pytest.mark.parametrize("kind", ["quarter", "rows", "checkerboard", "random"])
def test_few_iterations_are_enough_at_any_scale(kind):
    for scale in (0.5, 1.0, 4.0, 32.0):
        assert solved(kind, scale).residual < 1.1e-6
        assert solved(kind, scale).iterations < 50


@pytest.mark.parametrize(("fraction", "drawn"), [(0.02, True), (0.9, True), (0.3, False)])
def test_few_iterations_are_enough_for_few_pixels_for_most_and_for_endless_frequencies(fraction, drawn):
    found = solved("random", 0.5, fraction=fraction, drawn=drawn)
    assert found.residual < 1.1e-6
    assert found.iterations < 50


def test_lanczos_finds_the_extreme_eigenvalues_of_every_colour():
    matrix, target = spectrum_of(60), noise(2, 60)
    _, rows = lanczos(lambda x: x @ matrix, lanczos_start(target), 150)
    assert rows.diagonal.shape == rows.beside.shape == (150, 2)
    expected = np.linalg.eigvalsh(matrix)
    for diagonal, beside in zip(np.asarray(rows.diagonal).T, np.asarray(rows.beside).T, strict=True):
        found = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside[:-1])
        np.testing.assert_allclose([found[0], found[-1]], [expected[0], expected[-1]], rtol=1e-6)


def test_lanczos_goes_on_where_it_stands():
    matrix = spectrum_of(40)
    start = lanczos_start(noise(2, 40))
    stand, once = lanczos(lambda x: x @ matrix, start, 12)
    between, first = lanczos(lambda x: x @ matrix, start, 6)
    end, second = lanczos(lambda x: x @ matrix, between, 6)
    for a, *b in zip(once, first, second, strict=True):
        np.testing.assert_allclose(a, np.concatenate(b), rtol=1e-9)
    for a, b in zip(stand, end, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_the_vectors_that_are_made_again_are_orthonormal_and_make_the_matrix_tridiagonal():
    matrix, target = spectrum_of(40), noise(2, 40)
    start = lanczos_start(target)
    _, rows = lanczos(lambda x: x @ matrix, start, 8)
    single = np.broadcast_to(np.eye(8)[:, :, None], (8, 8, 2))
    vectors = np.asarray(combine_lanczos(lambda x: x @ matrix, start, rows, single))
    for colour in range(2):
        each = vectors[:, colour]
        np.testing.assert_allclose(each[0], target[colour] / np.linalg.norm(target[colour]), atol=1e-12)
        np.testing.assert_allclose(each @ each.T, np.eye(8), atol=1e-6)
        beside = np.asarray(rows.beside)[:-1, colour]
        tridiagonal = np.diag(rows.diagonal[:, colour]) + np.diag(beside, 1) + np.diag(beside, -1)
        np.testing.assert_allclose(each @ matrix @ each.T, tridiagonal, atol=1e-6)
    weights = noise(8, 3, 2)
    sums = combine_lanczos(lambda x: x @ matrix, start, rows, weights)
    np.testing.assert_allclose(sums, np.einsum("mtc,mcx->tcx", weights, vectors), atol=1e-10)


def test_lanczos_of_a_constant_colour_ends_at_once():
    matrix, target = spectrum_of(20), noise(2, 20)
    target[1] = 0.0
    start = lanczos_start(target)
    _, rows = lanczos(lambda x: x @ matrix, start, 5)
    np.testing.assert_array_equal([row[:, 1] for row in rows], 0.0)
    sums = np.asarray(combine_lanczos(lambda x: x @ matrix, start, rows, np.ones((5, 1, 2))))
    np.testing.assert_array_equal(sums[:, 1], 0.0)
    assert np.isfinite(sums).all() and sums[:, 0].any()


def test_functions_of_a_tridiagonal_matrix_have_the_first_column_of_dense_ones():
    diagonal, beside = np.random.default_rng(0).random((2, 7))
    matrix = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    times = np.asarray([0.0, 0.3, 5.0])
    # The last coupling leads out of the matrix.
    actual = tridiagonal_function(lambda values: np.exp(-times[:, None] * values), diagonal, beside)
    expected = [scipy.linalg.expm(-t * matrix)[:, 0] for t in times]
    np.testing.assert_allclose(actual, expected, atol=1e-12)
