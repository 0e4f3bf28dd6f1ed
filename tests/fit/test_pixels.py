"""The door for pixels: what NumPy, JAX, Pillow and xarray users hold is taken for what it is, or refused."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from PIL import Image, ImageCms

import inr_jax as inr
from inr_jax.fit.pixels import levels_of, narrow, to_picture
from inr_jax.settings import Refused

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (6, 8, 3), np.uint8)
FLOATS = COLOUR / 255


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (COLOUR, FLOATS),
        (COLOUR.astype(np.uint16) * 257, FLOATS),
        (FLOATS, FLOATS),
        (FLOATS.astype(np.float16), FLOATS),
        (FLOATS.tolist(), FLOATS),
        (jnp.asarray(FLOATS), FLOATS),
        (jnp.asarray(FLOATS, jnp.bfloat16), FLOATS),
        (Image.fromarray(COLOUR), FLOATS),
        (Image.fromarray(COLOUR[..., 0]), FLOATS[..., :1]),
        (Image.fromarray(COLOUR[..., 0] > 100).convert("1"), COLOUR[..., :1] > 100),
        (xr.DataArray(FLOATS, dims=("y", "x", "c")), FLOATS),
        (np.ma.masked_array(FLOATS, mask=False), FLOATS),
        (COLOUR[..., 0] > 100, COLOUR[..., :1] > 100),
        ((COLOUR[..., 0] > 100).astype(int), COLOUR[..., :1] > 100),
        ((COLOUR[..., 0] > 100).tolist(), COLOUR[..., :1] > 100),
        (FLOATS[..., 0], FLOATS[..., :1]),
        (FLOATS[:, 0, 0], FLOATS[:, :1, 0]),
        (FLOATS[:, 0], FLOATS[:, 0]),
        (FLOATS[..., [0, 1, 2, 0, 1]], FLOATS[..., [0, 1, 2, 0, 1]]),
        (FLOATS[None], FLOATS[None]),
        (FLOATS + 5e-6, FLOATS),
    ],
)
def test_what_people_hold_is_taken_for_what_it_is(image, wanted):
    taken = to_picture(image).pixels
    assert taken.dtype == np.float32 and taken.min() >= 0 and taken.max() <= 1
    np.testing.assert_allclose(taken, wanted, atol=2.0**-8 if getattr(image, "dtype", 0) == jnp.bfloat16 else 1e-3)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (COLOUR.astype(int), ["int64", "value_range"]),
        (COLOUR.astype(np.uint32), ["uint32", "value_range"]),
        (COLOUR.astype(np.int8), ["int8", "value_range"]),
        (COLOUR.tolist(), ["int64", "value_range"]),
        (COLOUR.astype(float), ["from 0 to 2", "[0, 1]", "value_range"]),
        (FLOATS * 2 - 1, ["from -1", "value_range"]),
        (np.where(FLOATS > 0.5, np.nan, FLOATS), ["not finite"]),
        (np.where(FLOATS > 0.5, np.inf, FLOATS), ["not finite"]),
        (np.moveaxis(FLOATS, -1, 0), ["(3, 6, 8)", "moveaxis"]),
        (np.ma.masked_greater(FLOATS, 0.5), ["masked", "filled"]),
        (Image.fromarray(COLOUR).convert("P"), ["mode P", "convert"]),
        (Image.fromarray(COLOUR).convert("RGBA"), ["mode RGBA", "transparent"]),
        (FLOATS + 0j, ["complex128", "real"]),
        (np.asarray(["a"]), ["real"]),
        ([[0.1], [0.2, 0.3]], ["no array"]),
        (np.zeros((0, 4, 3)), ["(0, 4, 3)"]),
        (np.float32(0.5), ["()"]),
    ],
)
def test_what_is_no_image_in_0_to_1_is_refused_with_what_to_do(image, says):
    with pytest.raises(Refused) as refused:
        inr.tasks.split(image)
    assert "\n" not in str(refused.value) and all(word in str(refused.value) for word in says)


@pytest.mark.parametrize(
    ("dtype", "value_range", "wanted"),
    [
        (np.int64, (0, 255), (0, 1)),
        (np.int16, "0:255", (0, 1)),
        (np.uint16, "0:4095", (0, 255 / 4095)),
        (np.float32, "-255:255", (0.5, 1)),
        (np.uint8, "data", (0, 1)),
        (np.int32, "data", (0, 1)),
        (np.uint8, "dtype", (0, 1)),
        (np.uint16, "dtype", (0, 255 / 65535)),
    ],
)
def test_the_value_range_says_which_values_are_black_and_white(dtype, value_range, wanted):
    pixels = np.asarray([[0, 51], [102, 255]], dtype)
    low, high = wanted
    np.testing.assert_allclose(
        levels_of(pixels, value_range).to_unit(pixels), low + (high - low) * pixels / 255.0, atol=1e-6
    )


@pytest.mark.parametrize("value_range", ["datatype", "0", "0:1:2", "1:0", "2:2", "a:b", "0:inf", (1, 0), 3, None])
def test_a_value_range_that_is_none_is_refused(value_range):
    with pytest.raises(Refused, match="value_range="):
        levels_of(COLOUR, value_range)


def test_a_constant_image_has_a_range_of_data_too():
    flat = np.full((2, 2), 7.0)
    assert np.isfinite(levels_of(flat, "data").to_unit(flat)).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"fraction": 2.0, "kind": "random"}, "fraction=2.0"),
        ({"fraction": 0.0, "kind": "random"}, "fraction=0.0"),
        ({"validation": 0.9}, "validation=0.9"),
        ({"seed": -1}, "split_seed=-1"),
        ({"kind": "quater"}, "did you mean 'quarter'"),
    ],
)
def test_a_split_is_held_to_what_the_command_line_is(settings, says):
    with pytest.raises(Refused, match=says):
        inr.tasks.split(FLOATS, **settings)


def test_twelve_bits_in_sixteen_are_not_taken_for_dark_in_silence():
    deep = RANDOM.integers(0, 4096, (6, 8), np.uint16)
    with pytest.warns(UserWarning, match="value_range=data"):
        dark = inr.tasks.split(deep)
    assert dark.image.max() < 0.0626
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(inr.tasks.split(deep, value_range=(0, 4095)).image[..., 0], deep / 4095, atol=1e-6)


def test_only_an_image_of_several_values_can_be_narrow():
    assert narrow(np.zeros((2, 2))) == narrow(np.full((2, 2), 0.01)) == narrow(np.asarray([0.0, 0.125])) == ()
    assert "0.12" in narrow(np.asarray([0.0, 0.12]))[0]


TO_LAB = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")


@pytest.mark.parametrize(
    ("pixels", "value_range", "wanted"),
    [
        (np.full((8, 8), 1e20), "data", 0.0),
        (np.full((8, 8), 2**60), "data", 0.0),
        (FLOATS[..., 0].astype(float) * 1e-50, (0.0, 1e-50), FLOATS[..., 0]),
        (FLOATS[..., 0].astype(float) * 1e40, (0.0, 1e40), FLOATS[..., 0]),
    ],
)
def test_ranges_that_float32_cannot_hold_are_mapped_all_the_same(pixels, value_range, wanted):
    found = to_picture(pixels, value_range).pixels[..., 0]
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-6)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_pillows_images_of_other_colours_are_refused_with_what_to_do(mode):
    image = Image.fromarray(COLOUR)
    image = image if mode != "RGBX" else image.convert("RGBX")
    other = ImageCms.applyTransform(image, TO_LAB) if mode == "LAB" else image.convert(mode)
    with pytest.raises(Refused, match=f"mode {mode}.*convert"):
        to_picture(other)


@pytest.mark.parametrize("shape", [(5, 16, 16), (3, 4, 16), (1, 3, 8, 8)])
def test_channels_first_are_seen_beyond_four_too(shape):
    with pytest.raises(Refused, match="channels first"):
        to_picture(np.zeros(shape))
