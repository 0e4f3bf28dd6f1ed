"""What people measure comes from files: masks, sinograms, k-space, sounds, frames, meshes; and hostile ones."""

import re
import wave

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import wavfile
from skimage.transform import radon

import inr_jax as inr
from inr_jax.data import images
from inr_jax.data.problem import Data, load, load_task
from inr_jax.fit.pixels import is_unknown


def shade(side=24):
    """A smooth disk in the dark."""
    y, x = (np.indices((side, side)) - side // 2) / side
    return np.clip(1 - 4 * np.hypot(x - 0.05, y), 0, 1)


@pytest.fixture
def folder(tmp_path):
    image = shade()
    np.save(tmp_path / "sinogram.npy", radon(image, np.arange(9) * 20.0))
    tifffile.imwrite(tmp_path / "sinogram.tif", radon(image, np.arange(9) * 20.0).astype(np.float32))
    waves = np.fft.fftshift(np.fft.fft2(image))
    waves[::2] = np.nan
    np.save(tmp_path / "kspace.npy", waves)
    Image.fromarray((shade() > 0.6).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    np.save(tmp_path / "bad_kspace.npy", image)
    np.save(tmp_path / "bad_sinogram.npy", np.full((24, 9), np.nan))
    np.save(tmp_path / "small_mask.npy", np.ones((5, 5)))
    np.save(tmp_path / "whole_mask.npy", np.ones((24, 24)))
    (tmp_path / "text.npy").write_text("no array")
    return tmp_path


def tone(rate=8000, channels=1):
    t = np.arange(400) / rate
    return 0.5 * np.stack([np.sin(2 * np.pi * 440 * (k + 1) * t) for k in range(channels)], -1)


def write_24_bits(path, values, rate):
    whole = np.round(values * (2**23 - 1)).astype("<i4")
    parts = whole.view(np.uint8).reshape(*whole.shape, 4)[..., :3]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(3)
        file.setframerate(rate)
        file.writeframes(parts.tobytes())


@pytest.mark.parametrize("name", ["sinogram.npy", "sinogram.tif"])
def test_a_sinogram_of_a_file_is_that_of_the_image_up_to_its_scale(folder, name):
    task = load_task(Data(task="tomography", image="none", sinogram=str(folder / name)))
    wanted = inr.tasks.tomography(shade().astype(np.float32), angles=9)
    assert task.grid == (24, 24) and is_unknown(task.image)
    scale = np.asarray(wanted.targets).max() / np.asarray(task.targets).max()
    np.testing.assert_allclose(np.asarray(task.targets) * scale, wanted.targets, atol=1e-4)
    # Without a truth the image is as bright as its filtered back-projection can be.
    assert task.classical(task)["filtered back-projection"].max() == pytest.approx(1.0, abs=0.05)
    bright = shade().astype(np.float32) / 2 + 0.5
    wanted = inr.tasks.tomography(bright, angles=9)
    known = inr.tasks.tomography(bright, sinogram=7 * np.asarray(wanted.targets))
    np.testing.assert_allclose(known.targets, wanted.targets, atol=1e-5)
    # Beyond the circle that rays see the truth is black, as predictions are.
    np.testing.assert_array_equal(known.image, wanted.image)


def test_kspace_of_a_file_knows_what_was_measured_and_gives_the_image_back(folder):
    task = load_task(Data(task="fourier", image="none", kspace=str(folder / "kspace.npy")))
    # Odd rows alone, and one of each pair of opposite frequencies.
    assert len(task.measured) == 24 * 12 // 2 and is_unknown(task.image)
    known = np.unravel_index(np.asarray(task.observe.args[0]), (24, 24))[0]
    assert set((known % 2).tolist()) == {1}
    half = np.fft.ifftshift(np.where(np.arange(24)[:, None] % 2, np.fft.fftshift(np.fft.fft2(shade())), 0))
    wanted = np.fft.ifft2(half).real
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(task.classical(task)["zero-filled"][..., 0], wanted / scale, atol=1e-5)
    waves = np.nan_to_num(np.load(folder / "kspace.npy"))
    same = inr.tasks.fourier(shade().astype(np.float32), kspace=5 * waves)
    ortho = np.fft.fft2(shade(), norm="ortho").ravel()[np.asarray(same.observe.args[0])]
    np.testing.assert_allclose(same.targets, np.stack([ortho.real, ortho.imag], -1), atol=1e-4)


def test_kspace_of_a_scanner_has_its_origin_in_the_middle():
    image = shade().astype(np.float32)
    waves = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))
    task = inr.tasks.fourier(image, kspace=waves, origin="middle")
    np.testing.assert_allclose(task.classical(task)["zero-filled"][..., 0], image, atol=1e-5)
    with pytest.raises(inr.Refused, match="is not real"):
        inr.tasks.fourier(image, kspace=waves * np.exp(1j * np.linspace(0, 3, 24)))


def test_in_python_a_file_is_an_array_and_its_name_is_refused():
    image = shade().astype(np.float32)
    for task, name in (("inpainting", "mask_file"), ("fourier", "kspace"), ("tomography", "sinogram")):
        with pytest.raises(inr.Refused, match="an array is expected"):
            getattr(inr.tasks, task)(image, **{name: "somewhere.npy"})


def test_what_a_file_decides_is_no_setting_of_the_run(folder):
    data = Data(task="tomography", image="none", sinogram=str(folder / "sinogram.npy"))
    assert "angles" not in data and "phantom" not in data and "split_seed" not in data
    assert "angles" in Data(task="tomography", image="chelsea")
    masked = Data(task="inpainting", image="chelsea", mask_file=str(folder / "mask.png"))
    assert "mask" not in masked and "fraction" not in masked
    assert "split_seed" not in Data(task="gradients") and "split_seed" in Data(task="gradients", validation=0.1)


def test_a_mask_of_a_file_hides_its_bright_pixels(folder):
    task = load_task(Data(task="inpainting", image="chelsea", size=24, mask_file=str(folder / "mask.png")))
    np.testing.assert_array_equal(np.sort(task.heldout), np.flatnonzero(shade() > 0.6))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"task": "tomography", "sinogram": "bad_sinogram.npy"}, "not finite"),
        ({"task": "tomography", "sinogram": "sinogram.npy", "image": "chelsea", "size": 16}, "(24, 24, 1)"),
        ({"task": "tomography", "sinogram": "kspace.npy"}, "complex128"),
        ({"task": "tomography"}, "measures nothing"),
        ({"task": "tomography", "phantom": "shepp_logan", "size": 16}, "at least 40"),
        ({"task": "tomography", "phantom": "shepp_logan", "image": "chelsea"}, "image=none"),
        ({"task": "fourier", "kspace": "bad_kspace.npy"}, "float64"),
        ({"task": "fourier", "kspace": "text.npy"}, "cannot be read"),
        ({"task": "fourier", "kspace": "none.npy"}, "no such file"),
        ({"task": "inpainting", "mask_file": "small_mask.npy", "image": "chelsea", "size": 24}, "(5, 5)"),
        ({"task": "inpainting", "mask_file": "whole_mask.npy", "image": "chelsea", "size": 24}, "leaves 0 of 576"),
        ({"task": "occupancy", "image": "chelsea"}, "image=none"),
        ({"task": "split"}, "image=none"),
        ({"task": "denoising"}, "image=none"),
        ({"task": "gradients", "image": "synthetic:power_law", "size": 32}, "(32, 1)"),
        ({"task": "super_resolution", "image": "chelsea", "size": 8, "factor": 9}, "factor=9"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(folder, given, says):
    paths = {n: str(folder / v) for n, v in given.items() if n in ("sinogram", "kspace", "mask_file")}
    with pytest.raises(inr.Refused, match=re.escape(says)) as refused:
        load_task(Data(**{"image": "none", **given, **paths}))
    assert "\n" not in str(refused.value)


def test_a_file_that_changed_is_read_again(folder):
    data = Data(task="inpainting", image="chelsea", size=24, mask_file=str(folder / "mask.png"))
    before = load(data)
    Image.fromarray((shade() > 0.3).astype(np.uint8) * 255).save(folder / "mask.png")
    after = load(data)
    assert len(after.task.heldout) > len(before.task.heldout)
    assert images.digest_picture(after.picture) != images.digest_picture(before.picture)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, "24 bits"], ids=str)
def test_a_sound_of_any_bits_is_read_with_silence_in_the_middle_and_written_back(tmp_path, kind, channels):
    path, values = tmp_path / "tone.wav", tone(channels=channels)
    if kind == "24 bits":
        write_24_bits(path, values, 8000)
    elif kind is np.float32:
        wavfile.write(path, 8000, values.astype(kind))
    else:
        middle, size = {np.uint8: (128, 127), np.int16: (0, 2**15 - 1), np.int32: (0, 2**31 - 1)}[kind]
        wavfile.write(path, 8000, (middle + size * values).astype(kind))
    picture = images.read(str(path), size=0)
    assert picture.pixels.shape == (400, channels) and picture.levels.rate == 8000
    np.testing.assert_allclose(2 * picture.pixels - 1, values, atol=0.02 if kind is np.uint8 else 1e-3)
    (tmp_path / "again.wav").write_bytes(images.to_wav(picture.levels.restore(picture.pixels), 8000))
    rate, stored = wavfile.read(path)
    _, again = wavfile.read(tmp_path / "again.wav")
    assert rate == 8000 and again.dtype == stored.dtype
    np.testing.assert_allclose(
        again.reshape(400, -1).astype(float), stored.reshape(400, -1).astype(float), rtol=1e-4, atol=300
    )


def test_the_first_samples_of_a_sound_are_taken_with_a_note(tmp_path):
    wavfile.write(tmp_path / "tone.wav", 8000, (2**15 * tone()).astype(np.int16))
    picture = images.read(str(tmp_path / "tone.wav"), size=100)
    assert len(picture.pixels) == 100 and "first 100 of its 400 samples" in picture.notes[-1]


@pytest.mark.parametrize("samples", [0, 1])
def test_a_sound_without_samples_is_refused(tmp_path, samples):
    wavfile.write(tmp_path / "empty.wav", 8000, np.zeros(samples, np.int16))
    with pytest.raises(inr.Refused, match=f"it has {samples} samples"):
        images.load(tmp_path / "empty.wav")


def test_a_sound_of_nothing_but_nan_is_refused(tmp_path):
    wavfile.write(tmp_path / "nan.wav", 8000, np.full(10, np.nan, np.float32))
    with pytest.raises(inr.Refused, match="not finite"):
        images.load(tmp_path / "nan.wav")


@pytest.fixture
def frames(tmp_path):
    """Five frames of 12 by 10, brighter each time, in every kind of file."""
    stack = np.stack([np.full((10, 12), 30 * (t + 1), np.uint8) for t in range(5)])
    stack[:, 2, 3] = 255
    pages = [Image.fromarray(each) for each in stack]
    pages[0].save(tmp_path / "film.gif", save_all=True, append_images=pages[1:])
    tifffile.imwrite(tmp_path / "film.tif", stack, photometric="minisblack")
    np.save(tmp_path / "film.npy", stack)
    (tmp_path / "film").mkdir()
    for number, page in enumerate(pages):
        page.save(tmp_path / "film" / f"{number:03}.png")
    return tmp_path, stack / 255


@pytest.mark.parametrize("name", ["film.gif", "film.tif", "film.npy", "film"])
def test_frames_are_a_volume_and_some_of_them_the_first(frames, name):
    folder, stack = frames
    every = images.load(folder / name, frames=0)
    assert every.shape[:3] == (5, 10, 12)
    np.testing.assert_allclose(every.mean(-1), stack, atol=1 / 255)
    np.testing.assert_array_equal(images.load(folder / name, frames=3), every[:3])
    assert images.load(folder / name, 6, frames=2).shape[:3] == (2, 6, 6)
    task = load_task(Data(task="video", image=str(folder / name)))
    assert task.grid == (5, 10, 12) and len(task.train) == 3 * 120
    np.testing.assert_allclose(task.classical(task)["linear"], every, atol=0.01)


@pytest.mark.parametrize(
    ("name", "says"), [("film", "the folder has 5"), ("film.gif", "it has 5"), ("film.tif", "has 5")]
)
def test_more_frames_than_there_are_are_refused(frames, name, says):
    with pytest.raises(inr.Refused, match=says):
        images.load(frames[0] / name, frames=9)


def test_frames_of_different_sizes_are_refused(frames):
    folder, _ = frames
    Image.new("L", (3, 3)).save(folder / "film" / "odd.png")
    with pytest.raises(inr.Refused, match="differ in size"):
        images.load(folder / "film", frames=0)


def test_the_first_frame_alone_is_an_image_as_before(frames):
    folder, _ = frames
    for name in ("film.gif", "film.tif"):
        with pytest.warns(UserWarning, match="the first of its 5"):
            assert images.load(folder / name).shape[:2] == (10, 12)
    with pytest.raises(inr.Refused, match="frames=0"):
        images.load(folder / "film")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["occupancy", "signed_distance"])
def test_a_mesh_is_the_solid_that_it_bounds(tmp_path, task):
    trimesh = pytest.importorskip("trimesh")
    trimesh.creation.icosphere(subdivisions=3, radius=2.0).export(tmp_path / "ball.stl")
    data = Data(task=task, mesh=str(tmp_path / "ball.stl"), size=16, points=300)
    ball = inr.tasks.TASKS[task](
        inr.images.load("none", size=16), solid=lambda p: np.linalg.norm(p - 0.5, axis=-1) - 0.4
    )
    found = load_task(data)
    assert np.mean(np.abs(found.image - ball.image)) < 0.02
    open_mesh = trimesh.creation.icosphere(subdivisions=1)
    open_mesh.update_faces(np.arange(len(open_mesh.faces)) > 3)
    open_mesh.export(tmp_path / "open.stl")
    with pytest.raises(inr.Refused, match="not closed"):
        load_task(data.replace(mesh=str(tmp_path / "open.stl")))
