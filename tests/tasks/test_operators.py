"""What each task predicts of a field, against scikit-image, SciPy, Pillow, NumPy and formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, laplace
from skimage.data import shepp_logan_phantom
from skimage.transform import radon

import inr_jax as inr
from inr_jax.fit.task import queries_of
from inr_jax.tasks import derivatives, projections, resampling, solids

SETTINGS = {
    "super_resolution": {"factor": 3},
    "inpainting": {"fraction": 0.5},
    "denoising": {},
    "tomography": {"angles": 7},
    "fourier": {"sampled": 0.3},
    "gradients": {},
    "laplacian": {},
}
LINEAR = ["super_resolution", "denoising", "tomography", "fourier", "gradients", "laplacian"]


def smooth(grid=(24, 24), channels=2, seed=0, blur=1.5):
    """An image without sharp edges, in [0, 1], black beyond an ellipse."""
    noise = np.random.default_rng(seed).random((*grid, channels))
    image = gaussian_filter(noise, (blur, blur, 0))
    image = (image - image.min()) / np.ptp(image)
    row, column = (2 * (np.arange(n) + 0.5) / n - 1 for n in grid)
    fade = np.clip(0.75 - np.hypot(row[:, None], column), 0, None)
    return (image * fade[..., None]).astype(np.float32)


def made(name, image, **given):
    return getattr(inr.tasks, name)(image, **{**SETTINGS[name], **given})


def linear_field(image):
    """The image as a field, linear between its pixels and 0 beyond them; differentiable nowhere on their lines."""

    def field(where):
        parts = [
            jax.scipy.ndimage.map_coordinates(jnp.asarray(image[..., c]), list(jnp.asarray(where).T), order=1, cval=0.0)
            for c in range(image.shape[-1])
        ]
        return jnp.stack(parts, -1)

    return field


def wave_field(where):
    """A field of which all derivatives are known: two channels."""
    row, column = where[:, 0], where[:, 1]
    return jnp.stack([jnp.sin(0.31 * row + 0.2 * column), jnp.cos(0.17 * column) * jnp.exp(-0.05 * row)], -1)


def observed(task, field, index=None):
    every = jnp.arange(len(task.measured)) if index is None else jnp.asarray(index)
    return np.asarray(jax.jit(lambda task, index: task.observe(field, task, index))(task, every))


@pytest.mark.parametrize("name", ["super_resolution", "tomography", "fourier"])
def test_the_truth_as_a_field_gives_the_measurements(name):
    image = smooth()
    task = made(name, image)
    field = linear_field(np.asarray(task.image))
    limited = lambda where: task.limit(field(where), where)  # noqa: E731
    np.testing.assert_allclose(observed(task, limited), task.measured, atol=1e-4)


@pytest.mark.parametrize("name", LINEAR)
def test_an_operator_is_linear(name):
    task = made(name, smooth())
    one, two = wave_field, lambda where: wave_field(where + 5.0)
    both = observed(task, lambda where: 2.0 * one(where) - 0.5 * two(where))
    np.testing.assert_allclose(both, 2.0 * observed(task, one) - 0.5 * observed(task, two), atol=2e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_some_measurements_are_those_of_all_of_them(name):
    task = made(name, smooth())
    index = np.random.default_rng(0).permutation(len(task.measured))[:5]
    np.testing.assert_allclose(observed(task, wave_field, index), observed(task, wave_field)[index], atol=2e-5)


@pytest.mark.parametrize("name", ["super_resolution", "fourier", "tomography"])
def test_the_transposed_operator_is_the_gradient_of_an_inner_product(name):
    """For linear A on a grid of pixels: <A x, y> = <x, Aᵀ y>, with Aᵀ from reverse mode."""
    task, random = made(name, smooth((12, 12), 1)), np.random.default_rng(1)
    x, y = random.standard_normal((12, 12, 1)), random.standard_normal(task.measured.shape)

    def inner(pixels):
        parts = lambda where: jax.scipy.ndimage.map_coordinates(pixels, list(where.T), order=1, cval=0.0)[:, None]  # noqa: E731
        return jnp.sum(task.observe(parts, task, jnp.arange(len(y))) * y)

    pixels = jnp.asarray(x[..., 0], jnp.float32)
    back = np.asarray(jax.grad(inner)(pixels), np.float64)
    assert np.sum(back * x[..., 0]) == pytest.approx(float(inner(pixels)), rel=1e-4)


@pytest.mark.parametrize("downsampling", ["bicubic", "box"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_smaller_image_is_pillows(downsampling, factor):
    image = smooth((24, 36), 1)
    task = inr.tasks.super_resolution(image, factor=factor, downsampling=downsampling)
    how = {"bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX}[downsampling]
    wanted = Image.fromarray(image[..., 0]).resize((36 // factor, 24 // factor), how)
    np.testing.assert_allclose(task.targets[..., 0], np.asarray(wanted), atol=1e-5)


@pytest.mark.parametrize("method", ["linear", "bicubic"])
def test_enlarged_images_are_pillows(method):
    task = inr.tasks.super_resolution(smooth((24, 36), 1), factor=4)
    how = {"linear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[method]
    wanted = Image.fromarray(np.asarray(task.targets)[..., 0]).resize((36, 24), how)
    np.testing.assert_allclose(task.classical(task)[method][..., 0], np.asarray(wanted), atol=1e-5)


@pytest.mark.parametrize(("many", "few"), [(24, 8), (25, 6), (7, 3), (6, 24)])
@pytest.mark.parametrize("name", ["box", "linear", "bicubic"])
def test_a_resampled_constant_stays_constant_and_a_mirrored_line_is_mirrored(many, few, name):
    matrix = resampling.resampling(many, few, name)
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-12)
    line = np.random.default_rng(0).random(many)
    if name != "box" or many % few == 0:
        np.testing.assert_allclose(matrix @ line[::-1], (matrix @ line)[::-1], atol=1e-12)


def test_a_few_small_pixels_are_predicted_from_those_under_them_alone():
    task = inr.tasks.super_resolution(smooth((48, 48), 1), factor=4)
    assert queries_of(task, 1).places == 16 * 16
    assert queries_of(task, 144).places == 48 * 48


@pytest.mark.parametrize("angles", [1, 8])
@pytest.mark.parametrize("side", [24, 25])
def test_a_sinogram_is_that_of_scikit_image(side, angles):
    task = inr.tasks.tomography(smooth((side, side), 1), angles=angles)
    wanted = radon(np.asarray(task.image[..., 0], np.float64), np.arange(angles) * 180 / angles, circle=True) / side
    np.testing.assert_allclose(task.targets[..., 0], wanted, atol=1e-3)
    inner = slice(side // 4, -(side // 4))
    np.testing.assert_allclose(task.targets[inner, :, 0], wanted[inner], atol=1e-4)


def test_the_phantom_is_scikit_images():
    wanted = shepp_logan_phantom()  # 400 x 400
    found = projections.raster(projections.SHEPP_LOGAN, 400)
    assert np.abs(found - wanted).mean() < 0.005
    inside = np.abs(found - wanted) < 0.02
    assert inside.mean() > 0.98


def test_exact_integrals_are_the_limit_of_sums_over_ever_smaller_pixels():
    turns = np.arange(5) * np.pi / 5
    errors = []
    for side in (32, 128):
        exact = projections.integrals(projections.SHEPP_LOGAN, side, turns)
        task = inr.tasks.tomography(projections.raster(projections.SHEPP_LOGAN, side)[..., None], angles=5)
        errors.append(np.sqrt(np.mean(np.square(exact - task.targets[..., 0]))))
    assert errors[1] < 0.4 * errors[0] and errors[1] < 5e-3


def test_an_ellipse_off_centre_and_turned_has_the_integrals_of_its_points():
    ellipse = (projections.Ellipse(0.7, 0.5, 0.2, 0.2, -0.3, 30.0),)
    turns = np.asarray([0.3, 1.9])
    task = inr.tasks.tomography(projections.raster(ellipse, 256)[..., None], angles=2)
    starts, steps = projections.rays(256, turns)
    sums = projections._sums(np.asarray(task.image), starts, steps).reshape(256, 2)
    # Rays that only touch the ellipse see no pixel of it.
    assert np.abs(projections.integrals(ellipse, 256, turns) - sums).mean() < 1e-3
    np.testing.assert_allclose(sums.sum(0) / 256, 0.7 * np.pi * 0.5 * 0.2 / 4, rtol=5e-3)


def test_fourier_coefficients_are_numpys_and_as_many_as_asked():
    image = smooth((18, 20), 1)
    task = inr.tasks.fourier(image, sampled=0.25)
    assert len(task.measured) == round(0.25 * (18 * 20 + 4) / 2)  # one of each pair; four are their own opposites
    waves = np.fft.fft2(image[..., 0], norm="ortho").ravel()[np.asarray(task.observe.args[0])]
    np.testing.assert_allclose(task.targets, np.stack([waves.real, waves.imag], -1), atol=1e-5)
    everything = inr.tasks.fourier(image, sampled=1.0)
    np.testing.assert_allclose(everything.classical(everything)["zero-filled"], image, atol=1e-5)


def test_no_opposite_of_a_measured_coefficient_is_measured_or_held_out():
    task = inr.tasks.fourier(smooth((18, 20), 1), sampled=0.5, validation=0.3)
    index = np.asarray(task.observe.args[0])
    rows, columns = np.unravel_index(index, (18, 20))
    other = np.ravel_multi_index(((-rows) % 18, (-columns) % 20), (18, 20))
    assert not set(index[other != index]) & set(other[other != index])


def test_video_in_python_holds_out_every_second_frame_and_refuses_what_is_none():
    volume = np.random.default_rng(0).random((5, 6, 7, 1))
    assert len(inr.tasks.video(volume).train) == 3 * 42
    assert list(inr.tasks.video(volume, split="random").classical(inr.tasks.video(volume, split="random"))) == [
        "linear"
    ]
    with pytest.raises(inr.Refused, match="frames"):
        inr.tasks.video(volume[0])
    with pytest.raises(inr.Refused, match="signals"):
        inr.tasks.audio(volume[0])


def test_low_frequencies_are_measured_more_often_under_a_gaussian_density():
    image = np.zeros((64, 64, 1), np.float32)
    found = {}
    for density in ("gaussian", "uniform"):
        index = inr.tasks.fourier(image, density=density).observe.args[0]
        rows, columns = np.unravel_index(index, (64, 64))
        found[density] = np.hypot(np.fft.fftfreq(64)[rows], np.fft.fftfreq(64)[columns]).mean()
        assert 0 in index
    assert found["gaussian"] < 0.6 * found["uniform"]


def test_gradients_are_finite_differences_and_the_fields_derivatives_between_pixels():
    image = smooth((9, 11))
    task = inr.tasks.gradients(image)
    wanted = np.concatenate([np.diff(image, axis=axis).reshape(-1, 2) for axis in (0, 1)])
    np.testing.assert_allclose(task.targets, wanted, atol=1e-6)
    rows, columns = np.indices((8, 11)).reshape(2, -1)
    near = 0.01
    before, after = (wave_field(np.stack([rows + 0.5 + sign * near, columns], -1)) for sign in (-1, 1))
    np.testing.assert_allclose(observed(task, wave_field)[:88], (after - before) / (2 * near), atol=1e-4)


def test_laplacians_are_scipys_and_the_fields_second_derivatives():
    image = smooth((9, 11))
    task = inr.tasks.laplacian(image)
    for channel in range(2):
        wanted = laplace(np.asarray(image[..., channel], np.float64), mode="reflect")
        np.testing.assert_allclose(task.targets[..., channel], wanted, atol=1e-6)
    row, column = np.indices((9, 11)).reshape(2, -1)
    values = np.asarray(wave_field(np.stack([row, column], -1)))
    wanted = np.stack([-(0.31**2 + 0.2**2) * values[:, 0], (0.05**2 - 0.17**2) * values[:, 1]], -1)
    np.testing.assert_allclose(observed(task, wave_field), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["gradients", "laplacian"])
@pytest.mark.parametrize("grid", [(9, 11), (16, 16)])
def test_the_poisson_solution_gives_the_image_back(name, grid):
    image = smooth(grid)
    task = made(name, image)
    np.testing.assert_allclose(task.classical(task)["Poisson"], image, atol=1e-5)


def test_a_poisson_solution_has_the_laplacian_and_mean_zero():
    values = smooth((10, 7)).astype(np.float64)
    values -= values.mean((0, 1))
    found = derivatives.solve_poisson(values)
    np.testing.assert_allclose(derivatives.five_points(found), values, atol=1e-12)
    np.testing.assert_allclose(found.mean((0, 1)), 0.0, atol=1e-12)


@pytest.mark.parametrize(("name", "wanted"), [("gradients", True), ("laplacian", True), ("tomography", False)])
def test_a_task_that_differentiates_the_field_is_known_and_refuses_detached_factors(name, wanted):
    image = smooth((12, 12))
    task = made(name, image)
    assert queries_of(task, 3).differentiates is wanted
    design = inr.Design(encoding="identity", network="finer", domain="signed", width=8, depth=2, steps=1)
    if wanted:
        with pytest.raises(inr.Refused, match=r"detached=True.*expected detached=False"):
            inr.fit_many(design, inr.hypers(), task)
    inr.fit_many(design.replace(detached=False), inr.hypers(), task)


def test_noise_has_the_asked_moments():
    image = np.full((200, 200, 1), 0.4, np.float32)
    gaussian = inr.tasks.denoising(image, sigma=0.2)
    assert gaussian.targets.std() == pytest.approx(0.2, rel=0.02) and gaussian.targets.mean() == pytest.approx(
        0.4, abs=0.01
    )
    counts = inr.tasks.denoising(image, noise="poisson", counts=20.0, readout=3.0)
    assert counts.targets.mean() == pytest.approx(0.4, abs=0.01)
    assert counts.targets.var() == pytest.approx(0.4 / 20 + (3 / 20) ** 2, rel=0.05)
    assert float(counts.observe.args[0]) == pytest.approx(np.sqrt(counts.targets.var()), rel=0.05)


def test_total_variation_removes_as_much_as_there_is_noise():
    image = smooth((48, 48), 1, blur=4)
    task = inr.tasks.denoising(image, sigma=0.1)
    found = task.classical(task)
    assert np.std(found["total variation"] - task.targets) == pytest.approx(0.1, rel=0.15)
    error = {name: np.mean(np.square(each - image)) for name, each in found.items()}
    assert max(error[name] for name in ("total variation", "non-local means", "wavelet")) < 0.4 * error["none"]


@pytest.mark.parametrize("mask", ["random", "text"])
def test_what_a_mask_hides_is_held_out_and_the_rest_known(mask):
    image = smooth((40, 48), 1)
    task = inr.tasks.inpainting(image, mask=mask, fraction=0.3)
    assert task.pixelwise and len(task.train) + len(task.heldout) == 40 * 48
    if mask == "random":
        assert len(task.train) == round(0.3 * 40 * 48)
    else:
        assert 0.05 < len(task.heldout) / (40 * 48) < 0.5
    methods = task.classical(task)
    for found in methods.values():
        np.testing.assert_allclose(found.reshape(-1)[task.train], image.reshape(-1)[task.train], atol=1e-5)
    assert list(methods) == ["linear", "cubic", "biharmonic"]


@pytest.mark.parametrize("name", solids.SOLIDS)
def test_the_distance_from_a_solid_grows_by_one_a_unit_and_points_move_onto_its_surface(name):
    distance, random = solids.SOLIDS[name], np.random.default_rng(0)
    points = random.random((500, 3))
    onto = solids.onto_surface(points, distance)
    assert np.quantile(np.abs(distance(onto)), 0.95) < 2e-3
    step = 1e-4 * np.eye(3)
    slopes = np.stack([(distance(onto + each) - distance(onto - each)) / 2e-4 for each in step], -1)
    # That of the gyroid is of first order alone.
    assert np.median(np.linalg.norm(slopes, axis=-1)) == pytest.approx(1.0, abs=0.2 if name == "gyroid" else 0.02)


@pytest.mark.parametrize(
    ("solid", "volume"),
    [("sphere", 4 / 3 * np.pi * 0.35**3), ("torus", 2 * np.pi**2 * 0.28 * 0.11**2)],
)
def test_the_voxels_of_a_solid_have_its_volume(solid, volume):
    task = inr.tasks.occupancy(inr.images.load("none", size=48), solid=solid, points=10)
    assert task.image.mean() == pytest.approx(volume, rel=0.02)


def test_points_of_a_solid_are_measured_where_they_are_and_near_the_surface():
    task = inr.tasks.signed_distance(inr.images.load("none", size=12), solid="sphere", points=400, near=0.25)
    field = lambda where: jnp.clip(0.85 - jnp.linalg.norm((where + 0.5) / 12 - 0.5, axis=-1, keepdims=True), 0, 1)  # noqa: E731
    np.testing.assert_allclose(observed(task, field), task.targets, atol=1e-5)
    near = np.abs(np.asarray(task.targets)[:, 0] - 0.5) < 0.04
    assert near[:100].all() and near[100:].mean() < 0.4
    inside = inr.tasks.occupancy(inr.images.load("none", size=12), solid="sphere", points=400, near=0.25)
    np.testing.assert_array_equal(inside.targets > 0.5, np.asarray(task.targets) > 0.5)


def test_the_truth_of_a_field_is_on_its_own_grid_and_scores_follow_the_offset():
    """A field that is the truth and a constant more is as good, where no value is measured."""
    image = smooth((16, 16), 1)
    task = inr.tasks.gradients(image)
    picture = task.picture(lambda grid: image + 0.3)
    np.testing.assert_allclose(picture, image, atol=1e-6)
    larger = task.picture(lambda grid: np.full((*grid, 1), 0.3, np.float32) + image[:1, :1], (32, 32))
    assert larger.shape == (32, 32, 1) and larger.mean() == pytest.approx(image.mean(), abs=1e-5)


@pytest.mark.parametrize("side", [16, 33])
def test_beyond_the_circle_that_rays_see_a_picture_is_black(side):
    task = inr.tasks.tomography(smooth((24, 24), 1), angles=3)
    picture = task.picture(lambda grid: np.ones((*grid, 1), np.float32), (side, side))
    assert picture[0, 0] == picture[-1, -1] == 0 and picture[side // 2, side // 2] == 1
