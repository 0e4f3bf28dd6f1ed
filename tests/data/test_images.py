"""Images: what is read is what is in the file, from 0 to 1."""

import importlib.util
import inspect
import os
import re
import struct
import sys
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import PIL
import pytest
import skimage.data
import skimage.transform
import tifffile
from PIL import Image

from inr_jax.data import images
from inr_jax.data.synthetic import SEEDED, SYNTHETIC
from inr_jax.settings import Refused

# Where each EXIF orientation puts the stored pixels (CIPA DC-008, "Orientation").
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png(path, width, height, depth, kind, rows=b""):
    """A PNG from its parts (W3C Portable Network Graphics, section 11): `kind` 0 gray, 2 colour, 4 and 6 with alpha."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0), b"IDAT": zlib.compress(rows)}
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in (chunks | {b"IEND": b""}).items():
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(data)
    return str(path)


def save(path, pixels, **how):
    iio.imwrite(path, pixels, plugin="pillow", **how)
    return str(path)


def notes(spec):
    return "; ".join(images.read(spec, size=0, background=1.0, value_range="dtype").notes)


def is_image(image):
    return image.dtype == np.float32 and image.ndim == 3 and image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("name", images.SAMPLES)
def test_every_sample_is_an_image_and_not_constant(name):
    image = images.load(name)
    assert is_image(image)
    assert image.shape[-1] in (1, 3)
    assert image.std() > 0.05


def test_a_sample_is_scikit_images_own():
    np.testing.assert_allclose(images.load("astronaut"), skimage.data.astronaut() / 255.0, atol=1e-7, rtol=0)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_a_lossless_file_gives_its_pixels_and_gray_gets_a_channel(tmp_path, shape, suffix):
    pixels = noise(*shape)
    image = images.load(save(tmp_path / f"a{suffix}", pixels))
    assert is_image(image)
    np.testing.assert_allclose(image, pixels.reshape(5, 7, -1) / 255.0, atol=1e-7, rtol=0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_gray_keeps_its_precision(tmp_path, suffix):
    pixels = noise(6, 9, dtype=np.uint16)
    image = images.load(save(tmp_path / f"a{suffix}", pixels))
    np.testing.assert_allclose(image[..., 0], pixels / 65535.0, atol=1e-7, rtol=0)


def test_a_bilevel_image_is_black_and_white(tmp_path):
    pixels = noise(6, 9) > 127
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.load(str(tmp_path / "a.png"))[..., 0], pixels)


def test_floats_beyond_one_are_clipped(tmp_path):
    pixels = np.linspace(-0.5, 1.5, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.warns(UserWarning, match=r"from -0.5 to 1.5, are clipped"):
        image = images.load(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(image[..., 0], np.clip(pixels, 0, 1))


@pytest.mark.parametrize(
    ("dtype", "values", "value_range"),
    [
        (np.float32, (0, 255), "0:255"),
        (np.int16, (-1000, 3000), "-1000:3000"),
        (np.int32, (0, 40), "data"),
        (np.uint16, (100, 700), "data"),
        (np.uint32, (0, 1), "dtype"),
    ],
)
def test_a_value_range_says_what_is_black_and_white_in_a_file(tmp_path, dtype, values, value_range):
    pixels = np.linspace(*values, 12).reshape(3, 4).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    image = images.load(str(tmp_path / "a.tif"), value_range=value_range)[..., 0]
    low, high = values
    np.testing.assert_allclose(image, (pixels.astype(float) - low) / (high - low), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int16])
def test_integers_without_an_agreed_white_are_refused_with_what_to_do(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.arange(12, dtype=dtype).reshape(3, 4), photometric="minisblack")
    with pytest.raises(Refused, match="no agreed white: give value_range"):
        images.load(str(tmp_path / "a.tif"))


def test_a_tiff_of_twelve_bits_is_as_bright_as_it_says(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (6, 9), np.uint16)
    tag = [("MaxSampleValue", "H", 1, 4095, True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", extratags=tag)
    np.testing.assert_allclose(images.load(str(tmp_path / "a.tif"))[..., 0], pixels / 4095, atol=1e-6)
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="minisblack")
    with pytest.warns(UserWarning, match="value_range=data"):
        images.load(str(tmp_path / "b.tif"))
    assert "value_range=data" in notes(str(tmp_path / "b.tif"))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_over_white(tmp_path, mode):
    pixels = noise(6, 9, len(mode))
    pixels[0, :3, -1] = 0, 255, 128
    Image.merge(mode, [Image.fromarray(each) for each in np.moveaxis(pixels, -1, 0)]).save(tmp_path / "a.png")
    color, alpha = pixels[..., :-1] / 255.0, pixels[..., -1:] / 255.0
    image = images.load(str(tmp_path / "a.png"))
    assert is_image(image)
    np.testing.assert_allclose(image, color * alpha + (1 - alpha), atol=1e-6, rtol=0)


@pytest.mark.parametrize("background", [0.0, 0.25, 1.0])
def test_the_background_behind_alpha_can_be_set(tmp_path, background):
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :3] = 255
    image = images.load(save(tmp_path / "a.png", pixels), background=background)
    np.testing.assert_allclose(image[:, :3], 1.0)
    np.testing.assert_allclose(image[:, 3:], background)


@pytest.mark.parametrize("kind", [2, 4, 6])
def test_sixteen_bit_colours_of_a_png_are_refused_and_never_cut(tmp_path, kind):
    channels = {2: 3, 4: 2, 6: 4}[kind]
    rows = b"".join(b"\0" + bytes(range(8 * channels)) for _ in range(4))
    with pytest.raises(Refused, match=r"16 bits.*TIFF"):
        images.load(png(tmp_path / "a.png", 4, 4, 16, kind, rows))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)])
def test_a_tiff_keeps_all_its_bits(tmp_path, dtype, shape):
    values = np.random.default_rng(0).random(shape)
    pixels = values.astype(dtype) if dtype in (np.float32, np.float64) else (values * np.iinfo(dtype).max).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if len(shape) == 3 else "minisblack")
    # Integers of 32 bits have no agreed white.
    white = {"value_range": f"0:{np.iinfo(dtype).max}"} if dtype == np.uint32 else {}
    image = images.load(str(tmp_path / "a.tif"), **white)
    assert is_image(image)
    np.testing.assert_allclose(image, values.reshape(6, 9, -1), atol=2e-5 if dtype == np.uint16 else 1e-7, rtol=0)


def test_tiffs_of_other_layouts_are_the_same_picture(tmp_path):
    pixels = noise(6, 9, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(images.load(str(tmp_path / "a.tif")), pixels / 65535, atol=1e-7)
    tifffile.imwrite(tmp_path / "b.tif", 65535 - pixels[..., 0], photometric="miniswhite")
    np.testing.assert_allclose(images.load(str(tmp_path / "b.tif"))[..., 0], pixels[..., 0] / 65535, atol=1e-6)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_deep_tiff_is_upright_too(tmp_path, orientation):
    stored = noise(4, 6, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[("Orientation", "H", 1, orientation, True)])
    image = images.load(str(tmp_path / "a.tif"))[..., 0]
    np.testing.assert_allclose(image, UPRIGHT[orientation](stored) / 65535, atol=1e-7)


@pytest.mark.parametrize(
    ("pixels", "photometric"),
    [
        (noise(5, 6).astype(np.int32), "minisblack"),
        (noise(5, 6).astype(np.int16), "minisblack"),
        (noise(5, 6, 3), "cielab"),
    ],
)
def test_what_has_no_agreed_white_is_refused(tmp_path, pixels, photometric):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric)
    with pytest.raises(Refused, match="no agreed white"):
        images.load(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("compression", ["jpeg", "raw"])
def test_a_tiff_of_ycbcr_is_read_as_colours(tmp_path, compression):
    if compression == "raw" and int(PIL.__version__.partition(".")[0]) < 12:
        pytest.skip("older versions of Pillow cannot read it, not even what they wrote")
    pixels = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    Image.fromarray(pixels).convert("YCbCr").save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_allclose(images.load(str(tmp_path / "a.tif")), pixels / 255.0, atol=0.01)


def test_values_that_are_not_finite_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.asarray([[0.5, np.nan], [0, 1]], np.float32))
    with pytest.raises(Refused, match="not finite"):
        images.load(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("side", [12_000, 20_000, 2**31 - 1])
def test_a_bomb_is_refused_from_its_header(tmp_path, side):
    path = png(tmp_path / "a.png", side, side, 8, 2)
    with pytest.raises(Refused, match=r"pixels|image"):
        images.load(path, size=64)
    assert os.path.getsize(path) < 200


def test_what_is_left_out_or_clipped_is_said(tmp_path):
    frames = [Image.fromarray(np.full((4, 5, 3), v, np.uint8)) for v in (40, 200, 90)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert "first of its 3 frames" in notes(str(tmp_path / "a.gif"))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 5, 6), np.uint16), photometric="minisblack")
    assert "first of its 2 pages" in notes(str(tmp_path / "a.tif"))
    tifffile.imwrite(tmp_path / "b.tif", np.full((5, 6), 3.0, np.float32))
    assert "clipped" in notes(str(tmp_path / "b.tif"))
    assert notes("astronaut") == notes("synthetic:zone_plate") == ""
    assert notes(save(tmp_path / "a.png", noise(4, 4, 3))) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = save(tmp_path / "a.png", noise(4, 4))
    os.chmod(path, 0)
    with pytest.raises(Refused, match="cannot be read"):
        images.load(path)


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_transparent_colour_is_white(tmp_path, mode):
    """PNG and GIF can also name one colour, or one palette entry, that is transparent."""
    pixels = np.zeros((4, 6), np.uint8)
    pixels[:, 3:] = 120
    picture = Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "a.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.info["transparency"] is not None
    image = images.load(str(tmp_path / "a.png"))
    np.testing.assert_array_equal(image[:, :3], 1.0)
    np.testing.assert_allclose(image[:, 3:], 120 / 255, atol=1e-6)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    stored = np.kron(noise(3, 2), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", quality=100, exif=exif)
    image = images.load(str(tmp_path / "a.jpg"))[..., 0]
    np.testing.assert_allclose(image, UPRIGHT[orientation](stored) / 255.0, atol=2 / 255)


def test_cmyk_is_read_as_colours(tmp_path):
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(images.load(str(tmp_path / "a.jpg")), pixels / 255.0, atol=0.03)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((4, 5, 3), v, np.uint8)) for v in (40, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="first of its 2 frames"):
        image = images.load(str(tmp_path / "a.gif"))
    assert image.shape == (4, 5, 3)
    np.testing.assert_allclose(image, 40 / 255, atol=0.01)


@pytest.mark.parametrize(("shape", "where"), [((6, 10), np.s_[:, 2:8]), ((11, 6), np.s_[2:8, :])])
def test_a_crop_to_the_shorter_side_is_exact_pixels(tmp_path, shape, where):
    pixels = noise(*shape, 3)
    image = images.load(save(tmp_path / "a.png", pixels), size=6)
    np.testing.assert_array_equal(image, (pixels[where] / 255.0).astype(np.float32))


@pytest.mark.parametrize("size", [5, 16, 40])
@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_resizing_is_scikit_images_with_anti_aliasing(tmp_path, resize, size):
    pixels = noise(20, 32, 3) / 255.0
    source = pixels[:, 6:26] if resize == "crop" else pixels
    path = save(tmp_path / "a.png", np.round(pixels * 255).astype(np.uint8))
    image = images.load(path, size, resize)
    assert is_image(image)
    wanted = skimage.transform.resize(source, (size, size), anti_aliasing=True)
    np.testing.assert_allclose(image, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("resize", ["crop", "stretch", "fit"])
def test_what_is_too_fine_for_the_new_size_becomes_gray(resize):
    stripes = np.broadcast_to((np.arange(96) % 2)[:, None, None], (96, 96, 1)).astype(np.float32)
    np.testing.assert_allclose(images.resample(stripes, 16, resize)[2:-2, 2:-2], 0.5, atol=0.01)


@pytest.mark.parametrize(
    ("shape", "size", "wanted"),
    [((20, 32), 16, (10, 16)), ((32, 20), 16, (16, 10)), ((20, 32), 48, (30, 48)), ((9, 33), 10, (3, 10))],
)
def test_fit_keeps_the_shape_and_resamples_with_anti_aliasing(tmp_path, shape, size, wanted):
    pixels = noise(*shape, 3)
    image = images.load(save(tmp_path / "a.png", pixels), size, "fit")
    assert is_image(image) and image.shape == (*wanted, 3)
    np.testing.assert_allclose(
        image, skimage.transform.resize(pixels / 255.0, wanted, anti_aliasing=True), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (10, 10)])
def test_fit_gives_exact_pixels_where_the_longer_side_is_the_size(tmp_path, shape):
    pixels = noise(*shape, 3)
    image = images.load(save(tmp_path / "a.png", pixels), 10, "fit")
    np.testing.assert_array_equal(image, (pixels / 255.0).astype(np.float32))


@pytest.mark.parametrize("shape", [(2, 60), (60, 2)])
def test_fit_leaves_at_least_two_pixels_a_side(tmp_path, shape):
    image = images.load(save(tmp_path / "a.png", noise(*shape)), 10, "fit")
    assert sorted(image.shape[:2]) == [2, 10]


def test_of_a_square_image_fit_is_crop_and_stretch(tmp_path):
    path = save(tmp_path / "a.png", noise(12, 12, 3))
    crop, stretch, fit = (images.load(path, 8, resize) for resize in ("crop", "stretch", "fit"))
    np.testing.assert_array_equal(fit, crop)
    np.testing.assert_array_equal(fit, stretch)


def test_an_unknown_way_to_resize_is_refused_with_the_nearest():
    with pytest.raises(Refused, match=r"resize='fits'.*did you mean 'fit'.*crop, stretch, fit"):
        images.load("astronaut", 32, "fits")


@pytest.mark.parametrize("side", [2, 7, 64])
@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.filterwarnings("ignore:.*a small part of the range")
def test_every_synthetic_image_is_in_range_and_always_the_same(name, side):
    image = images.load(f"synthetic:{name}", side)
    assert image.shape[:-1] == grid_of(name, side)
    assert is_image(image if image.ndim == 3 else image[None])
    np.testing.assert_array_equal(image, images.load(f"synthetic:{name}", side))


def grid_of(name: str, side: int) -> tuple[int, ...]:
    return (side,) if name == "power_law" else (side, side)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_synthetic_image_has_a_size_of_its_own(name):
    assert images.load(f"synthetic:{name}").shape[:-1] == grid_of(name, 512)


def test_the_zone_plates_local_frequency_grows_to_a_quarter_of_the_sampling_rate():
    side = 256
    row = images.load("synthetic:zone_plate", side)[side // 2, :, 0].astype(np.float64)
    np.testing.assert_allclose(np.diff(np.arccos(2 * row[128:132] - 1)), np.pi * np.array([1, 3, 5]) / 512, rtol=0.02)
    # cos at a quarter of the sampling rate turns through one period in four samples.
    edge = row[-4:] - 0.5
    np.testing.assert_allclose(edge[:2], -edge[2:], atol=0.05)


def test_the_siemens_star_looks_the_same_after_a_quarter_turn():
    star = images.load("synthetic:siemens_star", 64)[..., 0]
    turned = np.rot90(star)
    off_diagonal = ~(np.eye(64, dtype=bool) | np.eye(64, dtype=bool)[::-1])
    np.testing.assert_array_equal(star[off_diagonal], turned[off_diagonal])
    assert set(np.unique(star)) == {0.0, 1.0}
    # Around the rim every spoke begins and ends once.
    angle = (np.arange(3600) + 0.5) * 2 * np.pi / 3600
    rim = star[np.round(31.5 + 30 * np.sin(angle)).astype(int), np.round(31.5 + 30 * np.cos(angle)).astype(int)]
    assert 0.4 < rim.mean() < 0.6


@pytest.mark.parametrize("side", [16, 64])
def test_the_checkerboard_has_eight_by_eight_squares(side):
    board = images.load("synthetic:checkerboard", side)[..., 0]
    wanted = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((side // 8, side // 8)))
    np.testing.assert_array_equal(board, wanted)


def test_natural_noises_power_falls_as_one_over_the_frequency_squared():
    image = images.load("synthetic:natural_noise", 256).astype(np.float64)
    power = (np.abs(np.fft.fft2(image, axes=(0, 1))) ** 2).mean(-1)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    band = (f > 0.02) & (f < 0.4)
    slope, _ = np.polyfit(np.log(f[band]), np.log(power[band]), 1)
    assert slope == pytest.approx(-2, abs=0.15)


def test_the_digest_is_of_the_pixels_and_not_of_the_name(tmp_path):
    pixels = noise(8, 8, 3)
    one, two = (images.load(save(tmp_path / n, pixels)) for n in ("a.png", "b.tif"))
    assert images.digest(one) == images.digest(two)
    changed = one.copy()
    changed[3, 3, 1] = 1 - changed[3, 3, 1]
    assert images.digest(changed) != images.digest(one)
    assert images.digest(one.reshape(4, 16, 3)) != images.digest(one)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_eight_bits_go_to_bytes_and_back_unchanged(tmp_path, shape):
    pixels = noise(*shape)
    eight = images.to_bytes(images.load(save(tmp_path / "a.png", pixels)))
    assert eight.dtype == np.uint8
    np.testing.assert_array_equal(eight, pixels)


def test_bytes_are_clipped_and_rounded():
    image = np.array([[[-0.5, 0.0, 0.4 / 255], [0.6 / 255, 1.0, 1.5]]], np.float32)
    np.testing.assert_array_equal(images.to_bytes(image), [[[0, 0, 0], [1, 255, 255]]])


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("astronut", "did you mean 'astronaut'"),
        ("no/such/file.png", "no such file"),
        ("synthetic:zoneplate", "did you mean 'zone_plate'"),
        (".", "is a folder"),
        ("", "no such file"),
        ("x" * 300, "no such file"),
    ],
)
def test_an_image_that_does_not_exist_is_refused_with_the_nearest(spec, says):
    with pytest.raises(Refused, match=says) as refusal:
        images.load(spec)
    assert spec in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"not an image", b"", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_image_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(Refused, match="cannot be read") as refusal:
        images.load(str(path))
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_half_a_file_is_refused(tmp_path):
    path = save(tmp_path / "a.png", noise(64, 64, 3))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match="cannot be read"):
        images.load(path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (8, 1)])
def test_a_line_or_a_point_is_no_image(tmp_path, shape):
    with pytest.raises(Refused, match=f"{shape[1]}x{shape[0]}.*2x2"):
        images.load(save(tmp_path / "a.png", noise(*shape)), size=8)


def test_a_folder_and_a_pattern_name_their_images_in_order(tmp_path):
    for name in ("b.png", "a.PNG", "c.jpg"):
        save(tmp_path / name, noise(4, 4, 3))
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves beside a.png")
    (tmp_path / "folder.png").mkdir()
    found = [str(tmp_path / name) for name in ("a.PNG", "b.png", "c.jpg")]
    assert images.expand(str(tmp_path)) == found
    assert images.expand(str(tmp_path / "?.[pP]*")) == found[:2]
    assert images.expand(str(tmp_path / "*")) == [*found, str(tmp_path / "notes.txt")]
    assert images.expand("astronaut") == ["astronaut"] and images.expand("no/such.png") == ["no/such.png"]
    with pytest.raises(Refused, match="names no image"):
        images.expand(str(tmp_path / "*.gif"))


def test_drawn_images_follow_their_seed():
    for name in SEEDED:
        one, again, other = (images.load(f"synthetic:{name}:{seed}", 64) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - other).max() > 0.1
        np.testing.assert_array_equal(images.load(f"synthetic:{name}", 64), images.load(f"synthetic:{name}:0", 64))


@pytest.mark.parametrize("spec", ["synthetic:zone_plate:1", "synthetic:text:-1", "synthetic:text:x"])
def test_a_seed_is_a_whole_number_and_only_for_those_who_draw(spec):
    with pytest.raises(Refused, match="seed"):
        images.load(spec, 32)


def test_text_is_dark_strings_on_white():
    page = images.load("synthetic:text:3", 256)
    white = (page > 0.99).all(-1).mean()
    assert 0.4 < white < 0.95 and page.min() < 0.5
    # Every pixel is white, ink, or the edge between the two: at most 24 inks cover what is neither white nor edge.
    colors, counts = np.unique(images.to_bytes(page).reshape(-1, 3), axis=0, return_counts=True)
    inks = colors[(counts > 60) & (colors < 250).any(1)]
    assert len(inks) > 5 and (np.sort(counts)[::-1][:25].sum() / counts.sum()) > 0.85


@pytest.mark.parametrize(("angle", "changes"), [(0, "columns"), (90, "rows")])
def test_a_wave_has_its_cycles_along_its_angle(angle, changes):
    wave = images.load("synthetic:wave", 64, cycles=5.0, angle=float(angle))[..., 0]
    line, other = (wave[0], wave[:, 0]) if changes == "columns" else (wave[:, 0], wave[0])
    assert np.ptp(other) < 1e-6
    np.testing.assert_allclose(line, 0.5 + 0.5 * np.sin(2 * np.pi * 5 * np.arange(64) / 64), atol=1e-6)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_a_power_laws_amplitude_falls_as_it_says_up_to_its_band(exponent):
    signals = [images.load(f"synthetic:power_law:{seed}", 512, exponent=exponent) for seed in range(60)]
    assert all(s.shape == (512, 1) and s.min() == 0 and s.max() == 1 for s in signals)
    amplitude = np.sqrt(np.mean([np.abs(np.fft.rfft(s[:, 0] / s.std())) ** 2 for s in signals], axis=0))
    assert amplitude[128:].max() < 1e-3 * amplitude[1:128].min()
    slope = np.polyfit(np.log(np.arange(1, 128)), np.log(amplitude[1:128]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


SOURCE = """
import numpy as np
def gray(side, *, level=0.25): return np.full((side, side), level)
def wide(side): return np.ones((20, 40, 3)) * np.linspace(0, 1, 40)[:, None]
def line(side, *, turns=2): return 0.5 + 0.5 * np.sin(np.arange(side) * turns)
def bytes(side): return np.arange(side * side, dtype=np.uint8).reshape(side, side)
def waves(side): return np.sin(np.arange(side))
def long(side): return np.zeros(side + 1)
def fails(side): raise KeyError("lost")
def nothing(side): return np.full((side, side), np.nan)
def deep(side): return np.zeros((side, side, 2, 3, 2))
"""


def test_a_sheet_shows_a_volumes_slices_row_by_row_and_a_signals_curve():
    volume = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3, 1)
    sheet = images.as_image(volume)
    assert sheet.shape == (6, 9, 1)  # three by three slices, of which five are there
    for number in range(9):
        top, left = 2 * (number // 3), 3 * (number % 3)
        wanted = volume[number] if number < 5 else 0 * volume[0]
        np.testing.assert_array_equal(sheet[top : top + 2, left : left + 3], wanted)
    long = images.as_image(np.zeros((100, 2, 3, 1), np.uint8))
    assert long.shape == (8, 12, 1)
    ramp = np.linspace(0, 255, 100).astype(np.uint8)[:, None]
    curve = images.as_image(ramp)[..., 0]
    assert curve.shape == (images.CURVE_HEIGHT, 100) and curve.dtype == np.uint8
    height = np.argmax(curve, axis=0)
    assert (np.diff(height) <= 0).all() and height[0] > 90 and height[-1] < 5
    image = np.zeros((4, 5, 3))
    assert images.as_image(image) is image


@pytest.fixture
def sources(tmp_path, monkeypatch):
    (tmp_path / "own_sources.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_sources", None)


def test_a_function_of_ones_own_is_an_image_or_a_signal_and_its_keywords_are_settings(sources):
    assert images.reads("own_sources:gray") == {"level"} and images.reads("astronaut") == set()
    np.testing.assert_array_equal(images.load("own_sources:gray", 8, level=0.75), np.full((8, 8, 1), 0.75))
    for size, resize, shape in ((0, "crop", (20, 40, 3)), (8, "crop", (8, 8, 3)), (8, "fit", (4, 8, 3))):
        assert images.load("own_sources:wide", size, resize).shape == shape
    np.testing.assert_allclose(
        images.load("own_sources:line", 30, turns=1)[:, 0], 0.5 + 0.5 * np.sin(range(30)), rtol=1e-6
    )
    np.testing.assert_allclose(images.load("own_sources:bytes", 8)[..., 0].ravel() * 255, np.arange(64), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        *[("fails", "lost"), ("nothing", "finite"), ("deep", "(8, 8, 2, 3, 2)"), ("absent", "absent")],
        *[("waves", "[0, 1]"), ("long", "9 samples")],
    ],
)
def test_a_function_that_makes_no_image_is_refused_in_one_line(sources, name, says):
    with pytest.raises(Refused, match=re.escape(says)) as refused:
        images.load(f"own_sources:{name}", 8)
    assert "\n" not in str(refused.value) and name in str(refused.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("photometric", "channels"), [("minisblack", 2), ("minisblack", 5), ("rgb", 4), ("rgb", 6)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_channel_that_is_not_declared_alpha_is_a_channel(tmp_path, dtype, photometric, channels, planar):
    """Microscopes write two or five samples of no kind, satellites RGB and near infrared; tifffile wrote these."""
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((6, 9, channels)) * white).astype(dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    extra = ["unspecified"] * (channels - (3 if photometric == "rgb" else 1))
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, planarconfig=planar, extrasamples=extra)
    picture = images.read(str(tmp_path / "a.tif"), size=0, background=0.5, value_range="dtype")
    np.testing.assert_allclose(picture.pixels, pixels / white, atol=1e-7)
    assert picture.notes == (f"all of its {channels} channels are fitted; channels=0+1 takes some",)
    one = images.load(str(tmp_path / "a.tif"), channels=channels - 1)
    np.testing.assert_array_equal(one, picture.pixels[..., [-1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_is_applied_once_whether_colours_are_premultiplied_or_not(tmp_path, dtype, kind, colours):
    chance = np.random.default_rng(0)
    color, alpha = chance.random((6, 9, colours)), chance.random((6, 9, 1))
    alpha[0] = 1
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    stored = np.concatenate([color * alpha if kind == "assocalpha" else color, alpha], -1) * white
    stored = stored.astype(dtype) if dtype == np.float32 else np.rint(stored).astype(dtype)
    photometric = "rgb" if colours == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, planarconfig="contig", extrasamples=[kind])
    image = images.load(str(tmp_path / "a.tif"), background=0.25)
    np.testing.assert_allclose(image, color * alpha + 0.25 * (1 - alpha), atol=1e-5 + 1.5 * (white > 1) / white)


def test_alpha_beside_another_channel_lies_over_the_background_and_the_channel_stays(tmp_path):
    pixels = noise(6, 9, 5, dtype=np.uint16)
    extra = ["unspecified", "unassalpha"]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="contig", extrasamples=extra)
    values, alpha = pixels[..., :4] / 65535, pixels[..., 4:] / 65535
    with pytest.warns(UserWarning, match="all of its 4 channels"):
        image = images.load(str(tmp_path / "a.tif"))
    np.testing.assert_allclose(image, values * alpha + 1 - alpha, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "wanted"), [("all", [0, 1, 2]), ("2", [2]), ("2+0", [2, 0]), ((1, 2), [1, 2]), (1, [1])]
)
def test_channels_are_taken_by_their_numbers(asked, wanted):
    whole = images.load("astronaut", 16)
    np.testing.assert_array_equal(images.load("astronaut", 16, channels=asked), whole[..., wanted])


@pytest.mark.parametrize("asked", ["3", "-1", "", "0,1", "red", "0+3", 7, (0, 9)])
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(asked):
    with pytest.raises(Refused, match=r"channels=.*has 3; allowed: all, or numbers from 0 to 2"):
        images.load("astronaut", 16, channels=asked)


@pytest.mark.parametrize("white", [1, 15, 255, 1023, 65535])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("plain", [False, True])
def test_a_graymap_or_pixmap_keeps_its_bits_and_its_own_white(tmp_path, white, channels, plain):
    """As Netpbm documents them: P2 and P3 are text, P5 and P6 bytes, from 256 on two, the most significant first."""
    pixels = np.random.default_rng(0).integers(0, white, (5, 7, channels), endpoint=True)
    magic = {(1, True): "P2", (3, True): "P3", (1, False): "P5", (3, False): "P6"}[channels, plain]
    path = tmp_path / ("a.pgm" if channels == 1 else "a.ppm")
    body = (
        " ".join(map(str, pixels.ravel())).encode()
        if plain
        else pixels.astype("u1" if white < 256 else ">u2").tobytes()
    )
    path.write_bytes(f"{magic}\n# from a scanner\n7 5\n{white}\n".encode() + body)
    np.testing.assert_allclose(images.load(str(path)), pixels / white, atol=1e-7)
    np.testing.assert_allclose(images.load(str(path), value_range=f"0:{2 * white}"), pixels / white / 2, atol=1e-7)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Refused, match="cannot be read"):
        images.load(str(path))


def test_a_graymap_that_claims_to_be_huge_is_refused_from_its_header(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 100000 100000 65535\n")
    with pytest.raises(Refused, match="at most"):
        images.load(str(tmp_path / "a.pgm"))


def test_signed_bytes_are_not_taken_for_unsigned_ones(tmp_path):
    pixels = np.arange(-50, 4, dtype=np.int8).reshape(6, 9)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    with pytest.raises(Refused, match="int8, here from -50 to 3, have no agreed white"):
        images.load(str(tmp_path / "a.tif"))
    np.testing.assert_allclose(
        images.load(str(tmp_path / "a.tif"), value_range="-50:3")[..., 0], (pixels + 50.0) / 53, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["png", "tif", "bmp", "pbm"])
def test_one_bit_is_black_or_white_as_imageio_reads_it(tmp_path, kind):
    pixels = noise(6, 9) > 127
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(images.load(str(tmp_path / f"a.{kind}"))[..., 0], pixels)
    other = np.asarray(iio.imread(tmp_path / f"a.{kind}"), float)
    np.testing.assert_array_equal(images.load(str(tmp_path / f"a.{kind}"))[..., 0], other / max(other.max(), 1))


@pytest.mark.parametrize("inverted", [False, True])
def test_a_bilevel_tiff_of_either_polarity_is_what_its_tag_says(tmp_path, inverted):
    """TIFF 6.0, section 3: of kind 0 (WhiteIsZero) a bit of 0 is white, of kind 1 black."""
    bits = noise(6, 8) > 127
    fields = [(256, 4, 8), (257, 4, 6), (258, 3, 1), (259, 3, 1), (262, 3, 0 if inverted else 1)]
    fields += [(273, 4, 0), (277, 3, 1), (278, 4, 6), (279, 4, 6)]
    start = 8 + 2 + 12 * len(fields) + 4
    data = b"II*\0" + struct.pack("<IH", 8, len(fields))
    for tag, size, value in fields:
        data += struct.pack("<HHI", tag, size, 1) + struct.pack("<I", start if tag == 273 else value)
    (tmp_path / "a.tif").write_bytes(data + struct.pack("<I", 0) + np.packbits(bits, axis=1).tobytes())
    np.testing.assert_array_equal(images.load(str(tmp_path / "a.tif"))[..., 0], bits != inverted)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_png_of_few_bits_spans_black_to_white(tmp_path, depth):
    """W3C PNG, 13.12: samples of fewer bits are scaled so that the largest is white."""
    values = np.arange(8).reshape(1, 8) % 2**depth
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1
    rows = b"\0" + np.packbits(bits.reshape(1, -1), axis=1).tobytes()
    path = png(tmp_path / "a.png", 8, 2, depth, 0, rows * 2)
    np.testing.assert_allclose(images.load(path)[..., 0], np.repeat(values, 2, 0) / (2**depth - 1), atol=1e-6)


def test_a_tiff_whose_compression_needs_a_library_is_read_with_it_and_says_which_without_it(tmp_path):
    pixels = noise(6, 9, dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    if importlib.util.find_spec("imagecodecs"):
        np.testing.assert_allclose(images.load(str(tmp_path / "a.tif"))[..., 0], pixels / 65535, atol=1e-7)
    else:
        with pytest.raises(Refused, match=r"imagecodecs is not installed: pip install 'inr-jax\[tiff\]'"):
            images.load(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("black_first", [True, False])
def test_levels_give_back_the_values_that_a_file_has(tmp_path, black_first):
    pixels = noise(6, 9, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack" if black_first else "miniswhite")
    picture = images.read(str(tmp_path / "a.tif"), size=0, background=1.0, value_range="dtype")
    np.testing.assert_array_equal(picture.levels.restore(picture.pixels)[..., 0], pixels)
    again = tmp_path / "b.tif"
    again.write_bytes(images.to_tiff(picture.levels.restore(picture.pixels), not black_first))
    np.testing.assert_array_equal(images.load(str(again)), picture.pixels)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_a_tiff_of_eight_bits_is_upright_too(tmp_path, orientation, shape):
    stored = noise(*shape)
    tag = [("Orientation", "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack" if len(shape) == 2 else "rgb", extratags=tag)
    image = images.load(str(tmp_path / "a.tif"))
    np.testing.assert_allclose(image.squeeze(), UPRIGHT[orientation](stored) / 255, atol=1e-7)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_gray_that_a_png_names_transparent_is_background_and_the_others_keep_their_bits(tmp_path, depth):
    """W3C PNG, 11.3.2.1: the sample value of tRNS is in the file's own bits."""
    values = np.arange(8).reshape(1, 8) * (8191 if depth == 16 else 1) % 2**depth
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1
    rows = b"\0" + np.packbits(bits.reshape(1, -1), axis=1).tobytes()
    path = Path(png(tmp_path / "a.png", 8, 2, depth, 0, rows * 2))
    data = path.read_bytes()
    clear = int(values[0, 1])
    body = b"tRNS" + struct.pack(">H", clear)
    place = data.index(b"IDAT") - 4
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:place] + chunk + data[place:])
    wanted = np.where(values == clear, 0.25, values / (2**depth - 1))
    image = images.load(str(path), background=0.25)[..., 0]
    np.testing.assert_allclose(image, np.repeat(wanted, 2, 0), atol=1e-6)


def test_a_white_is_zero_tiff_of_eight_bits_has_its_own_values(tmp_path):
    pixels = noise(6, 9) // 4
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    picture = images.read(str(tmp_path / "a.tif"), size=0, background=1.0, value_range="0:63")
    np.testing.assert_allclose(picture.pixels[..., 0], 1 - pixels / 63, atol=1e-6)
    assert picture.notes == () and picture.levels[:2] == (63, 0)
    np.testing.assert_array_equal(picture.levels.restore(picture.pixels)[..., 0], pixels)


@pytest.mark.parametrize(("dtype", "opaque", "value_range"), [(np.uint16, 4095, "0:4095"), (np.float32, 255, "0:255")])
def test_alpha_is_opaque_where_colours_of_the_range_are_white(tmp_path, dtype, opaque, value_range):
    pixels = (np.random.default_rng(0).random((6, 9, 4)) * opaque).astype(dtype)
    pixels[..., 3] = opaque
    pixels[0, :, 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    image = images.load(str(tmp_path / "a.tif"), value_range=value_range, background=0.0)
    np.testing.assert_allclose(image[1:], pixels[1:, :, :3] / opaque, atol=1e-6)
    assert not image[0].any()


def test_a_stack_behind_one_page_is_told_and_a_thumbnail_before_the_picture_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 6, 9), photometric="minisblack", truncate=True)
    assert "first of its 5 pages" in notes(str(tmp_path / "a.tif"))
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(noise(4, 4, 3), photometric="rgb", subifds=1, subfiletype=1)
        file.write(noise(32, 32, 3), photometric="rgb")
    with pytest.raises(Refused, match="thumbnail"):
        images.load(str(tmp_path / "b.tif"))


@pytest.mark.parametrize("ending", ["jp2", "sgi"])
def test_formats_that_would_lose_bits_are_refused(tmp_path, ending):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / f"a.{ending}")
    with pytest.raises(Refused, match="cannot be read"):
        images.load(str(tmp_path / f"a.{ending}"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"valuerange": "0:10"}, "valuerange.*did you mean 'value_range'"),
        ({"background": 2}, "background=2"),
        ({"background": float("nan")}, "background=nan"),
        ({"size": 1.5}, "size=1.5"),
        ({"size": -1}, "size=-1"),
        ({"size": 2**20}, "size=1048576"),
        ({"size": "16"}, "size='16'"),
        ({"resize": "fitt"}, "did you mean 'fit'"),
        ({"channels": 1.7}, "channels=1.7"),
        ({"channels": True}, "channels=True"),
        ({"channels": None}, "channels=None"),
        ({"channels": slice(0, 2)}, "channels=slice"),
        ({"value_range": "nonsense"}, "value_range='nonsense'"),
        ({"value_range": b"ab"}, "value_range=b'ab'"),
        ({"value_range": {0, 255}}, "value_range="),
    ],
)
@pytest.mark.parametrize("spec", ["astronaut", "a.png"])
def test_loading_in_python_is_held_to_what_the_command_line_is(tmp_path, spec, settings, says):
    if spec == "a.png":
        spec = tmp_path / spec  # a Path, as people have it
        save(spec, noise(8, 8, 3))
    with pytest.raises(Refused, match=says):
        inspect.unwrap(images.load)(spec, **settings)  # users have no checks of types
