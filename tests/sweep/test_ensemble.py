"""Many members: each is its single fit, whoever sits beside it, and one program serves them all."""

import inspect

import jax
import numpy as np
import pytest

import inr_jax as inr
from inr_jax.data import images
from inr_jax.fit import curves, member, metrics
from inr_jax.fit.design import complete, member_of
from inr_jax.settings import Refused
from inr_jax.sweep import ensemble
from inr_jax.sweep import plan as planner
from inr_jax.sweep.chunks import chunk_by_chunk
from inr_jax.sweep.programs import programs
from inr_jax.tasks.splits import split

IMAGE = np.random.default_rng(0).random((12, 12, 3)).astype(np.float32)
TASK = inr.tasks.split(IMAGE, "quarter")
DESIGN = inr.Design(frequencies=6, width=16, depth=2, steps=12)
SETTINGS = inr.hypers(scale=[0.5, 2, 8], learning_rate=[1e-4, 1e-3], seed=[0, 1])
SCORES = ("psnr_train", "psnr_heldout", "psnr_all", "ssim")
METRICS = metrics.metric_names()
compiled: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration_secs, **kw: compiled.append(event) if event.endswith("backend_compile_duration") else None
)


def fitted(design, settings, plan, points=None, listen=lambda checkpoint: None, start=None):
    """The outcome of one chunk."""
    settings = complete(design, settings)
    points = ensemble.history_steps(design, TASK, 24) if points is None else points
    last = ensemble.advance(design, settings, TASK, plan, points, design.steps, listen, start)
    return ensemble.outcome(design, settings, TASK, plan, last)


def close(a: inr.Fits, b: inr.Fits, rows=slice(None)) -> None:
    for name in SCORES:
        np.testing.assert_allclose(getattr(a, name)[rows], getattr(b, name), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("network", ["relu", pytest.param("siren", marks=pytest.mark.slow)])
def test_a_member_equals_its_single_fit(network):
    design = DESIGN.replace(network=network, pixels=20)
    settings = SETTINGS.replace(omega_0=np.linspace(5, 30, 12, dtype=np.float32))
    together = inr.fit_many(design, settings, TASK, chunk=12)
    for row in (0, 5, 11):
        hyper = member_of(settings, row)
        state = member.init(design, hyper, TASK)
        state, _ = member.advance(design, hyper, TASK, state, np.int32(0), np.int32(12))
        single, picture = member.evaluate(TASK, member.field(design, hyper, TASK, state), 144, METRICS)
        assert np.abs(picture.astype(int) - together.picture[row]).max() <= 1
        np.testing.assert_allclose(
            [getattr(together, n)[row] for n in SCORES], [single[n] for n in SCORES], rtol=1e-5, atol=1e-5
        )


def test_chunk_size_does_not_matter():
    whole = inr.fit_many(DESIGN, SETTINGS, TASK, chunk=12)
    for chunk in (1, 5):
        close(whole, inr.fit_many(DESIGN, SETTINGS, TASK, chunk=chunk))


COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective", "reduce-scatter", "send", "recv", "infeed")


def test_a_chunk_lies_over_all_devices_and_no_collective_appears_in_its_programs():
    plan = ensemble.planned(DESIGN, SETTINGS, TASK)
    assert jax.local_device_count() == plan.devices == plan.chunk == 2
    members = member_of(complete(DESIGN, SETTINGS), np.arange(2))
    made = programs(DESIGN, plan, members, TASK, METRICS)
    for program in (made.advance, made.evaluate):
        text = program.as_text()
        assert "num_partitions=2" in text
        assert not [word for word in COLLECTIVES if f" {word}" in text]
    state = program.input_shardings[0][-1]
    assert not any(each.is_fully_replicated for each in jax.tree.leaves(state))


@pytest.mark.parametrize(("chunk", "devices"), [(1, 1), (2, 2), (3, 1), (6, 2)])
def test_over_how_many_devices_members_lie_does_not_matter(chunk, devices):
    plan = ensemble.planned(DESIGN, SETTINGS, TASK, chunk=chunk)
    assert plan.devices == devices
    close(inr.fit_many(DESIGN, SETTINGS, TASK, chunk=1), inr.fit_many(DESIGN, SETTINGS, TASK, chunk=chunk))


@pytest.mark.parametrize(
    ("chunk", "devices", "halved"), [(10, 2, (4, 2)), (2, 2, (1, 1)), (3, 1, (1, 1)), (8, 8, (4, 4))]
)
def test_a_halved_plan_has_fewer_members_on_each_device_and_then_fewer_devices(chunk, devices, halved):
    plan = planner.plan(DESIGN, SETTINGS, TASK)._replace(chunk=chunk, devices=devices, bytes=chunk // devices * 1000)
    smaller = planner.halved(plan)
    assert (smaller.chunk, smaller.devices) == halved
    assert smaller.bytes == 1000 * halved[0] // halved[1]


@pytest.mark.slow
def test_a_device_that_jax_was_told_is_the_only_one():
    with jax.default_device(jax.local_devices()[1]):
        assert ensemble.planned(DESIGN, SETTINGS, TASK, chunk=4).devices == 1
        alone = inr.fit_many(DESIGN, SETTINGS, TASK, chunk=4)
    close(inr.fit_many(DESIGN, SETTINGS, TASK, chunk=4), alone)


@pytest.mark.parametrize("block", [0, 8])
def test_kept_features_change_a_fit_by_rounding_only(block):
    plan = ensemble.planned(DESIGN, SETTINGS, TASK, chunk=12, block=block, features="recomputed")
    kept = ensemble.planned(DESIGN, SETTINGS, TASK, chunk=12, block=block, features="precomputed")
    assert (plan.precompute, kept.precompute) == (False, True)
    ends = [fitted(DESIGN, SETTINGS, each) for each in (plan, kept)]
    for name in SCORES:
        np.testing.assert_allclose(*(each.scores[name] for each in ends), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changed", [{"pixels": 20}, {"learn_frequencies": True}])
def test_features_are_never_kept_where_every_step_has_others(changed):
    design = DESIGN.replace(**changed)
    assert not planner.plan(design, SETTINGS, TASK, features="precomputed").precompute


def test_features_are_kept_where_a_cores_cache_holds_them_and_made_again_where_not():
    small, large = (inr.tasks.split(np.zeros((side, side, 3)), "all") for side in (16, 128))
    design = inr.Design(frequencies=256, width=256)
    assert planner.plan(design, SETTINGS, small).precompute
    assert not planner.plan(design, SETTINGS, large).precompute


@pytest.mark.optimized
def test_order_neighbours_and_padding_do_not_change_a_bit_at_a_fixed_chunk_size():
    whole = inr.fit_many(DESIGN, SETTINGS, TASK, chunk=4)
    order = np.asarray([7, 3, 11, 0, 5])
    some = inr.fit_many(DESIGN, member_of(SETTINGS, order), TASK, chunk=4)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(some.params), strict=True):
        np.testing.assert_array_equal(a[order], b)


def test_two_seeds_differ_and_one_repeated_does_not():
    fits = inr.fit_many(DESIGN, inr.hypers(scale=[2], seed=[0, 1]), TASK, chunk=2)
    again = inr.fit_many(DESIGN, inr.hypers(scale=[2], seed=[0, 1]), TASK, chunk=2)
    assert abs(fits.psnr_train[0] - fits.psnr_train[1]) > 1e-3
    np.testing.assert_array_equal(fits.psnr_train, again.psnr_train)


def test_one_program_serves_any_number_of_members_chunks_and_segments():
    design = DESIGN.replace(width=17)
    plan = planner.plan(design, SETTINGS, TASK, chunk=4)
    compiled.clear()
    fitted(design, member_of(SETTINGS, np.arange(4)), plan)
    one_chunk = len(compiled)
    assert one_chunk >= 1
    inr.fit_many(design, SETTINGS, TASK, chunk=4)
    fitted(design, member_of(SETTINGS, np.arange(4)), plan._replace(segment=1))
    changed = SETTINGS.replace(scale=SETTINGS.scale * 3)
    inr.fit_many(design, changed, TASK, chunk=4)
    assert len(compiled) == one_chunk


@pytest.mark.optimized
def test_a_diverging_member_freezes_at_its_last_finite_step_and_disturbs_nobody():
    rates = np.asarray([1e-3, 1e3, 1e-2], np.float32)
    design = DESIGN.replace(output="linear", optimizer="sgd", steps=40)
    settings = inr.hypers(scale=[1, 2, 3]).replace(learning_rate=rates)
    tame = settings.replace(learning_rate=np.where(rates > 1, np.float32(1e-3), rates))
    fits = inr.fit_many(design, settings, TASK, chunk=3)
    others = inr.fit_many(design, tame, TASK, chunk=3)
    assert fits.diverged_at.tolist()[::2] == [-1, -1] and 0 <= fits.diverged_at[1] < 40
    for a, b in zip(jax.tree.leaves(fits.params), jax.tree.leaves(others.params), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a[::2], b[::2])
    single = member_of(settings, 1)
    state = member.init(design, single, TASK)
    for t in range(int(fits.diverged_at[1])):
        state, _ = member.step(design, single, TASK, state, np.int32(t))
    for a, b in zip(jax.tree.leaves(fits.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-6 * np.abs(b).max())


def test_a_member_that_diverged_stays_frozen_in_later_segments():
    design = DESIGN.replace(output="linear", optimizer="sgd", steps=40)
    settings = inr.hypers(scale=[1, 2]).replace(learning_rate=np.asarray([1e-3, 1e3], np.float32))
    plan = planner.plan(design, settings, TASK, chunk=2)
    whole = fitted(design, settings, plan)
    cut = fitted(design, settings, plan._replace(segment=3))
    assert cut.diverged_at.tolist() == whole.diverged_at.tolist()
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(cut.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rendering_at_its_own_size_has_the_scores_psnr():
    fits = inr.fit_many(DESIGN, SETTINGS, TASK)
    for row in (0, 7):
        image = fits.predict(row, (12, 12))
        error = np.mean(np.square(image.clip(0, 1) - IMAGE))
        np.testing.assert_allclose(-10 * np.log10(error), fits.psnr_all[row], atol=1e-3)
    assert fits.predict(0, (5, 31)).shape == (5, 31, 3)


def test_tiles_do_not_change_a_rendering():
    fits = inr.fit_many(DESIGN, SETTINGS, TASK)
    images = [fits.network(2).predict((9, 14), tile=tile) for tile in (7, 126, 1000)]
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)
    np.testing.assert_array_equal(images[1], images[2])


def test_curves_begin_before_the_first_step_and_end_at_the_last():
    fits = inr.fit_many(DESIGN, SETTINGS, TASK)
    assert fits.history_step[0] == 0 and fits.history_step[-1] == DESIGN.steps
    assert (np.diff(fits.history_step) > 0).all()
    np.testing.assert_allclose(fits.history_train[:, -1], fits.psnr_train, atol=1e-3)


def test_signals_of_one_dimension_are_fitted_by_the_same_code():
    signal = np.sin(np.linspace(0, 6, 64, dtype=np.float32))[:, None] / 2 + 0.5
    task = inr.tasks.split(signal, "quarter")
    fits = inr.fit_many(DESIGN.replace(steps=300), inr.hypers(scale=[1.0], learning_rate=[1e-2]), task)
    assert fits.psnr_heldout[0] > 25


def test_encodings_and_networks_of_ones_own_are_swept_like_the_built_in_ones():
    design = DESIGN.replace(encoding=bumps, centres=5)
    fits = inr.fit_many(design, inr.hypers(design, sharpness=[1.0, 8.0]), TASK, chunk=2)
    assert np.isfinite(fits.psnr_train).all() and fits.psnr_train[0] != fits.psnr_train[1]


def test_a_custom_setting_that_no_function_reads_is_refused_with_the_closest_name():
    with pytest.raises(Refused, match="'sharpness' is not known"):
        inr.hypers(DESIGN, sharpness=[1.0])
    with pytest.raises(Refused, match="did you mean 'sharpness'"):
        inr.hypers(DESIGN.replace(encoding=bumps), sharpnes=[1.0])
    with pytest.raises(Refused, match="did you mean 'centres'"):
        DESIGN.replace(encoding=bumps, centers=5)
    settings = inr.hypers(DESIGN.replace(encoding=bumps), sharpness=[1.0])
    with pytest.raises(Refused, match="'sharpness' is not known"):
        inr.fit_many(DESIGN, settings, TASK)


def bumps(coords, key, *, sharpness=1.0, centres=4):
    at = jax.random.uniform(key, (centres, coords.shape[-1]))
    return jax.numpy.exp(-sharpness * jax.numpy.sum(jax.numpy.square(coords[:, None] - at), axis=-1))


def test_plans_respect_what_is_asked_and_cover_the_image():
    plan = planner.plan(DESIGN, SETTINGS, TASK, chunk=7, block=9)
    assert (plan.chunk, plan.block) == (7, 9)
    assert plan.parameters == 12 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3
    wide = planner.plan(DESIGN, SETTINGS, TASK, backend="gpu")
    assert wide.chunk == 12 and wide.block == 0
    assert complete(DESIGN, inr.hypers()).scale == [10.0]


@pytest.mark.parametrize("settings", [{"encoding": "gaussian"}, {"network": "siren"}, {"encoding": "hash"}])
def test_the_operations_of_a_step_are_those_that_the_compiler_counts(settings):
    """But for what is no product, and for the optimizer."""
    design, task = inr.Design(width=64, **settings), inr.tasks.split(np.zeros((32, 32, 3), np.float32), "all")
    hypers = complete(design, inr.hypers())
    hyper = member_of(hypers, 0)
    step = jax.jit(lambda hyper, task, state: member.step(design, hyper, task, state, 0))
    counted = step.lower(hyper, task, member.shapes(design, hyper, task)).cost_analysis()["flops"]
    assert 0.85 * counted < planner.plan(design, hypers, task).step_flops < counted


def test_on_an_accelerator_large_members_need_few_at_once_and_a_measured_table_decides(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    many = inr.hypers(scale=np.geomspace(1, 16, 2000).tolist())
    large = inr.tasks.split(np.zeros((128, 128, 3), np.float32), "all")

    def wide(design, task=TASK):
        return planner.plan(design, many, task, backend="gpu")

    small, big = wide(DESIGN), wide(DESIGN.replace(width=256, frequencies=256, depth=3), large)
    assert small.chunk // small.devices == planner.ACCELERATOR_CHUNK
    # As many as need 2e11 operations a step.
    assert 1e11 < big.step_flops * big.chunk // big.devices / 2 <= 2e11
    kind = jax.local_devices()[0].device_kind
    planner.save_measured_chunks(kind, [(small.step_flops, 128), (big.step_flops, 3)])
    planner.save_measured_chunks("another kind", [(1.0, 1)])
    found = [wide(DESIGN).chunk, wide(DESIGN.replace(width=256, frequencies=256, depth=3), large).chunk]
    assert found == [128 * small.devices, 3 * big.devices]


@pytest.mark.parametrize("place", [0, 3, -2, -1])
@pytest.mark.optimized
def test_a_fit_that_goes_on_from_a_segment_ends_with_the_bits_of_one_that_was_not_stopped(place):
    design = DESIGN.replace(output="linear", optimizer="sgd", steps=40, pixels=20, replacement=False)
    design = design.replace(average="ema", query="blurred")
    settings = inr.hypers(scale=[1, 2]).replace(learning_rate=np.asarray([1e-3, 1e3], np.float32))
    plan = ensemble.planned(design, settings, TASK, chunk=2)
    stood = []
    whole = fitted(design, settings, plan, listen=stood.append)
    start = jax.tree.map(np.asarray, stood[place])._replace(step=stood[place].step)
    again = fitted(design, settings, plan._replace(segment=7), start=start)
    assert whole.diverged_at[1] >= 0
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_who_looks_up_says_how_many_steps_go_into_the_next_segment():
    plan = ensemble.planned(DESIGN, SETTINGS, TASK, chunk=12)
    stood = []

    def listen(checkpoint) -> int:
        stood.append(checkpoint.step)
        return 5

    fitted(DESIGN, SETTINGS, plan, np.asarray([0, 1, 12]), listen)
    assert stood == [0, 1, 6, 11, 12]


def test_a_chunk_that_memory_does_not_hold_is_halved_and_a_member_that_it_does_not_hold_fails_alone():
    plan = planner.plan(DESIGN, SETTINGS, TASK, chunk=8)
    tried = []

    def fit_one(rows, plan):
        tried.append((rows.tolist(), plan.chunk))
        if len(rows) > 3 or 5 in rows:
            raise MemoryError("too much")
        return rows

    came = list(chunk_by_chunk([np.arange(8), np.arange(8, 12)], plan, fit_one))
    assert np.concatenate([rows for rows, _, _ in came]).tolist() == list(range(12))
    failed = [rows.tolist() for rows, out, _ in came if isinstance(out, MemoryError)]
    assert failed == [[5]] and came[-1][2].chunk == 1
    assert [chunk for _, chunk in tried] == sorted((chunk for _, chunk in tried), reverse=True)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def wrong(rows, plan):
        raise jax.errors.JaxRuntimeError("INVALID_ARGUMENT: no")

    plan = planner.plan(DESIGN, SETTINGS, TASK, chunk=8)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID"):
        list(chunk_by_chunk([np.arange(8)], plan, wrong))


def test_a_plan_takes_no_more_memory_than_there_is(monkeypatch):
    free = ensemble.planned(DESIGN, SETTINGS, TASK, chunk=12)
    assert free.chunk == 12 and free.bytes > 0
    monkeypatch.setattr(planner, "memory", lambda over=1: free.bytes // 2)
    less = ensemble.planned(DESIGN, SETTINGS, TASK, chunk=12)
    assert less.chunk < 12 and less.bytes <= free.bytes // 2
    monkeypatch.setattr(planner, "memory", lambda over=1: 1000)
    with pytest.raises(MemoryError, match=r"GiB for 1 members of \d+ parameters"):
        inr.fit_many(DESIGN, SETTINGS, TASK)


def test_a_function_of_ones_own_that_fails_is_refused_by_its_name():
    design = DESIGN.replace(encoding=broken)
    with pytest.raises(inr.Refused, match=r"broken.*ValueError: three is wrong"):
        inr.fit_many(design, SETTINGS, TASK)


def broken(coords, key, *, scale=1.0):
    raise ValueError("three is wrong\nand more")


@pytest.mark.slow
def test_the_curves_hold_what_is_left_of_each_octave_from_nothing_learned_to_nearly_all():
    image = images.load("synthetic:natural_noise:1", 32)
    fits = inr.fit_many(
        inr.Design(frequencies=64, width=64, depth=2, steps=300, init="glorot"),
        inr.hypers(scale=[1, 8], learning_rate=[3e-3]),
        split(image, "all"),
    )
    left = fits.history_bands
    assert left.shape == (2, len(fits.history_step), len(metrics.bands(32)))
    assert (left[:, 0] > 0.5).all() and (left[:, -1] < left[:, 0]).all()
    # Spectral bias: a small scale leaves more of the high octaves than of the low ones, and than a large scale.
    assert left[0, -1, -1] > 10 * left[0, -1, 0] and left[0, -1, -1] > left[1, -1, -1]
    # At the end they are those of the picture that comes out.
    picture = fits.predict(1, (32, 32)).clip(0, 1).reshape(-1, 3)
    lines = [curves.lines((32, 32), axis, curves.CURVE_LINES) for axis in (0, 1)]
    powers = [
        sum(np.asarray(metrics.band_power(each[line], left.shape[-1])) for line in lines)
        for each in (picture - image.reshape(-1, 3), image.reshape(-1, 3))
    ]
    np.testing.assert_allclose(left[1, -1], powers[0] / powers[1], rtol=1e-3)


@pytest.mark.parametrize("family", ["gaussian", "loguniform"])
def test_the_frequencies_root_mean_square_is_that_of_b_and_none_where_there_is_no_b(family):
    settings = inr.hypers(scale=[1, 4])
    fits = inr.fit_many(DESIGN.replace(family=family, steps=0), settings, TASK)
    np.testing.assert_allclose(fits.rms_frequency, np.sqrt((fits.data["encoding"]["B"] ** 2).mean((1, 2))), rtol=1e-6)
    np.testing.assert_allclose(fits.rms_frequency[1] / fits.rms_frequency[0], 4, rtol=1e-6)
    plain = inr.fit_many(DESIGN.replace(encoding="identity", steps=0), settings, TASK)
    assert np.isnan(plain.rms_frequency).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"chunk": -1}, "chunk=-1"),
        ({"chunk": 1.5}, "chunk=1.5"),
        ({"pixel_block": "2"}, "pixel_block='2'"),
        ({"history": -1}, "history=-1"),
        ({"history": "a"}, "history='a'"),
    ],
)
def test_options_of_fit_many_are_held_to_those_of_a_run(options, says):
    with pytest.raises(Refused, match=says):
        inspect.unwrap(inr.fit_many)(DESIGN, SETTINGS, TASK, **options)  # users have no checks of types


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scale": np.asarray([np.nan] + 11 * [1.0])}, "scale=nan"),
        ({"scale": np.asarray([-3.0] + 11 * [1.0])}, "scale=-3"),
        ({"scale": np.ones(5)}, r"scale has shape \(5,\)"),
    ],
)
def test_numbers_that_were_put_in_place_of_others_are_checked_too(changes, says):
    with pytest.raises(Refused, match=says):
        inr.fit_many(DESIGN, SETTINGS.replace(**changes), TASK)


@pytest.mark.parametrize("grid", [(0, 0), (3,), (4, 4, 4), 16, (2.5, 3)])
def test_a_grid_of_other_dimensions_is_refused(grid):
    fits = inr.fit_many(DESIGN.replace(steps=0), SETTINGS, TASK)
    with pytest.raises(Refused, match="2 lengths in pixels"):
        inspect.unwrap(type(fits.network(0)).predict)(fits.network(0), grid)
