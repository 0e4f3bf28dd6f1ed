"""Races: seconds to a PSNR on curves of which the answer is known, and the command from a run to its table."""

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from experiments import sweep
from experiments.analysis import race, races
from experiments.analysis.races import Line
from inr_jax.cli.arguments import exit_status
from inr_jax.runs.members import members_of
from inr_jax.settings import Refused
from inr_jax.sweep.grid import fields
from inr_jax.sweep.study import Run, Study

SMALL = ["--config=experiments/configs/scale.py:quick", "--config.size=16", "--config.design.width=8"]
SMALL += ["--config.design.frequencies=4", "--config.design.steps=20", "--config.design.pixels=0"]

DEFAULTS = {name: setting.default for name, setting in fields().every.items()}


def line(way, psnr, last=10.0, image="a"):
    """A way that is looked at evenly until its last second."""
    return Line(way, image, np.linspace(0.0, last, len(psnr)), np.asarray(psnr, float))


def table(ways=("slow", "fast"), images=("a", "b"), seeds=(0, 1), steps=10, took=None):
    """A finished run's table: each way on each image with each seed, a second a step for the first way, half for the
    second."""
    rows = [
        {"image": image, "size": 32, "optimizer": way, "learning_rate": 0.1, "seed": seed, "split_seed": 0}
        | {"steps": steps, "label": way, "parameter_count": 100, "rms_frequency": 1.0}
        | dict.fromkeys(("psnr_train", "psnr_heldout", "psnr_all", "ssim"), 20.0)
        | {"status": "ok", "diverged_at": None, "seconds": (took or {}).get(way, steps / (1 + place))}
        for place, way in enumerate(ways)
        for image in images
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def curves(members, rises=1.0, points=11, stride=1):
    """Straight curves from 10 dB up, so many dB a step, on the training pixels, and a dB less on the held-out ones."""
    steps = stride * np.arange(points)
    train = 10 + np.broadcast_to(np.asarray(rises, float)[..., None], (members, 1)) * steps
    return xr.Dataset(
        {"history_train": (("member", "step"), train), "history_heldout": (("member", "step"), train - 1)},
        {"step": steps},
    )


@pytest.mark.parametrize(("target", "seconds"), [(10.0, 0), (11.0, 0.5), (15.0, 2.5), (20.0, 5), (21.0, 6), (25.0, 10)])
def test_the_seconds_to_a_target_are_linear_between_the_points(target, seconds):
    assert races.seconds_to(line("way", [10, 20, 25]), target) == pytest.approx(seconds, abs=1e-12)


def test_the_first_time_counts_where_a_curve_falls_again():
    assert races.seconds_to(line("way", [10, 20, 12, 30], 3.0), 15.0) == pytest.approx(0.5)


def test_what_is_never_reached_is_blank():
    assert np.isnan(races.seconds_to(line("way", [10, 20, 25]), 25.1))


def test_the_targets_are_what_the_reference_has_reached_on_each_image_after_parts_of_its_steps():
    found = [line("slow", [10, 20, 30, 25, 40]), line("slow", [5, 6, 7, 8, 9], image="b")]
    raced = races.race(found).set_index(["image", "target"])["psnr"]
    np.testing.assert_allclose(raced["a"], [12, 20, 40])
    np.testing.assert_allclose(raced["b"], [5.2, 6, 9])
    # It is as high as it ever was until then.
    assert races.highest(found[0], 0.75) == 30 and races.highest(found[0], 0.375) == 25


def test_a_way_of_half_the_seconds_has_half_the_ratio_and_the_reference_one():
    found = [line("slow", [10, 20, 40]), line("fast", [10, 20, 40], last=5.0)]
    raced = races.race(found)
    assert (raced[raced["way"] == "slow"]["ratio"] == 1).all()
    np.testing.assert_allclose(raced[raced["way"] == "fast"]["ratio"], 0.5)
    np.testing.assert_allclose(races.race(found, "fast")["ratio"], [2, 2, 2, 1, 1, 1])


def test_ratios_do_not_change_with_the_speed_of_the_machine():
    found = [line("slow", [10, 17, 40]), line("fast", [10, 22, 40], 7.0), line("short", [10, 14], 3.0)]
    slower = [each._replace(seconds=3.7 * each.seconds) for each in found]
    once, again = races.race(found), races.race(slower)
    np.testing.assert_allclose(again["ratio"], once["ratio"])
    np.testing.assert_allclose(again["seconds"], 3.7 * once["seconds"])


def test_a_mean_is_geometric_over_images_and_its_spread_a_factor():
    images = {"a": 20.0, "b": 5.0}
    found = [line("slow", [10, 20], image=image) for image in images]
    found += [line("other", [10, 20], last, image) for image, last in images.items()]
    summed = races.summary(races.race(found)).set_index("way")
    np.testing.assert_allclose(summed.loc["other", "ratio"], 1.0)
    # Of two images, half of the range from a half to two.
    np.testing.assert_allclose(summed.loc["other", "spread"], 2.0)
    assert (summed.loc["slow", "spread"] == 1).all()


def test_a_way_that_does_not_arrive_on_all_images_has_no_mean_and_is_counted():
    found = [line("slow", [10, 20], image=image) for image in "ab"]
    found += [line("lazy", [10, 20], image="a"), line("lazy", [10, 19], image="b")]
    raced = races.race(found, targets=[15.0, 20.0])
    assert raced["seconds"].isna().sum() == 1
    last = races.summary(raced).set_index(["way", "target"]).loc[("lazy", "20 dB")]
    assert np.isnan(last["ratio"]) and (last["reached"], last["images"]) == (1, 2)
    text = races.format_summary(races.summary(raced), found)
    assert "on 1 of 2" in text and "nan" not in text


def test_images_that_the_reference_does_not_finish_are_not_asked_for():
    found = [line("slow", [10, 20], image="a"), line("slow", [10, 15], image="b")]
    found += [line("fast", [10, 40], image=image) for image in "ab"]
    summed = races.summary(races.race(found, targets=[18.0])).set_index("way")
    assert summed.loc["fast", "images"] == 1 and summed.loc["fast", "ratio"] == pytest.approx(8 / 30 / 0.8)


@pytest.mark.parametrize("images", ["ab", "abcd"])
def test_a_target_below_the_beginning_takes_no_time(images):
    found = [line("slow", [10, 20], image=image) for image in images]
    found += [line("ready", [15, 20], image=image) for image in images]
    summed = races.summary(races.race(found, targets=[5.0, 12.0])).set_index(["way", "target"])
    assert summed.loc[("ready", "12 dB"), ["seconds", "ratio"]].tolist() == [0, 0]
    assert summed.loc[("slow", "5 dB"), "seconds"] == 0 and np.isnan(summed.loc[("slow", "5 dB"), "ratio"])
    assert "nan" not in races.format_summary(summed.reset_index(), found)


def test_a_target_that_nobody_reaches_leaves_a_table_of_the_fits():
    found = [line("slow", [10, 20])]
    assert "10" in races.format_summary(races.summary(races.race(found, targets=[50.0])), found)


def test_a_step_takes_the_median_of_all_members_that_do_the_same_work():
    some = table(seeds=(0, 1, 2))
    some.loc[0, "seconds"] = 1e6  # the machine was busy
    np.testing.assert_allclose(races.step_seconds(some)[some["optimizer"] == "slow"], 1.0)
    np.testing.assert_allclose(races.step_seconds(some)[some["optimizer"] == "fast"], 0.5)


def test_images_that_keep_their_shapes_are_each_a_work_of_its_own():
    some = table()
    some.loc[some["image"] == "b", "seconds"] *= 3
    alike = races.step_seconds(some.assign(resize="crop"))
    assert alike.groupby(some["image"]).first().nunique() == 1
    shaped = races.step_seconds(some.assign(resize="fit"))
    np.testing.assert_allclose(shaped[some["image"] == "b"], 3 * shaped[some["image"] == "a"])


def test_learning_rates_schedules_and_shorter_fits_say_the_same_of_a_step():
    some = table().assign(schedule=["constant", "cosine"] * 4, learning_rate=np.linspace(1, 2, 8))
    short = some.assign(steps=2, seconds=40.0)
    both = pd.concat([some, short], ignore_index=True)
    seconds = races.step_seconds(both)
    assert set(seconds[both["optimizer"] == "slow"]) == {1.0} and set(seconds[both["optimizer"] == "fast"]) == {0.5}


def test_members_that_were_not_fitted_to_the_end_say_nothing_of_a_step():
    some = table()
    some.loc[:2, "seconds"], some.loc[:2, "status"] = np.nan, "failed"
    np.testing.assert_allclose(races.step_seconds(some)[:4], 1.0)


def test_a_restless_machine_is_told_from_a_quiet_one():
    assert races.timing_noise(table()) == (1.0, 1.0)
    some = table()
    some.loc[[0, 4], "seconds"] *= 4
    low, high = races.timing_noise(some)
    assert low == 1.0 and high > 2


@pytest.mark.slow
def test_steps_are_timed_again_once_for_all_members_that_do_the_same_work():
    axes = {"optimizer": ("adam", "sgd"), "image": ("astronaut", "chelsea"), "learning_rate": (0.1, 0.2)}
    settings = {"size": 16, "width": 8, "frequencies": 4, "steps": 20}
    cases = ({}, {"schedule": "cosine", "steps": 5})
    members = members_of(Study("some", "", {**DEFAULTS, **settings}, axes, cases, Run()))
    seconds = races.time_steps(members, rounds=2)
    assert len(seconds) == 16 and (seconds > 0).all() and seconds.nunique() == 2
    assert seconds[:4].nunique() == seconds[4:8].nunique() == 1 and seconds[8:].tolist() == seconds[:8].tolist()


@pytest.mark.slow
def test_photographs_of_other_shapes_are_timed_again_each(tmp_path):
    paths = tuple(str(tmp_path / f"{side}.png") for side in (8, 16))
    for path, side in zip(paths, (8, 16), strict=True):
        Image.fromarray(np.full((side, 16), 100, np.uint8)).save(path)
    settings = {"size": 16, "resize": "fit", "width": 8, "frequencies": 4, "steps": 20}
    members = members_of(Study("some", "", {**DEFAULTS, **settings}, {"image": paths, "seed": (0, 1)}, ({},), Run()))
    seconds = races.time_steps(members, rounds=1)
    assert seconds.nunique() == 2 and seconds.groupby([0, 0, 1, 1]).nunique().max() == 1


def test_lines_are_means_over_seeds_against_the_seconds_of_their_steps():
    some = table()
    found = races.lines(some, curves(8, [1.0, 3.0] * 4))
    assert [(each.way, each.image) for each in found] == [("slow", "a"), ("slow", "b"), ("fast", "a"), ("fast", "b")]
    np.testing.assert_allclose(found[0].psnr, 10 + 2 * np.arange(11))
    np.testing.assert_allclose(found[0].seconds, np.arange(11))
    np.testing.assert_allclose(found[2].seconds, np.arange(11) / 2)
    held = races.lines(some, curves(8, [1.0, 3.0] * 4), on="heldout")
    np.testing.assert_allclose(held[0].psnr, 9 + 2 * np.arange(11))


def lengths():
    """Fits of 10, 20 and 40 steps by two ways, of which the second takes half a second a step and is 3 dB higher."""
    parts = [table(steps=steps, images=("a",)).assign(psnr_all=steps) for steps in (10, 20, 40)]
    every = pd.concat(parts, ignore_index=True)
    return every.assign(psnr_all=every["psnr_all"] + 3.0 * (every["label"] == "fast"))


def test_at_the_ends_of_fits_the_shortest_that_reaches_the_target_counts():
    found = {each.way: each for each in races.ends(lengths())}
    assert list(found) == ["slow", "fast"]
    assert [races.seconds_to(found["slow"], target) for target in (5, 10, 10.1, 20, 39)] == [10, 10, 20, 20, 40]
    assert [races.seconds_to(found["fast"], target) for target in (13, 22, 43)] == [5, 10, 20]
    assert np.isnan(races.seconds_to(found["slow"], 41))
    assert "all pixels" in races.chart([*found.values()], "all").axes[0].get_ylabel()


def test_at_the_ends_of_fits_a_length_of_which_a_seed_diverged_does_not_count():
    some = lengths()
    some.loc[(some["label"] == "slow") & (some["steps"] == 20) & (some["seed"] == 1), "status"] = "diverged"
    slow, _ = races.ends(some)
    assert races.seconds_to(slow, 15) == 40
    with pytest.raises(Refused, match="no scores of all pixels"):
        races.ends(some.assign(status="failed"))
    with pytest.raises(Refused, match="no scores of all pixels"):
        races.ends(some.drop(columns="psnr_all"))


def test_ways_of_other_lengths_are_looked_at_where_they_were():
    seen = curves(8)
    seen["history_train"][4:, 6:] = np.nan
    found = races.lines(table(), seen)
    assert len(found[0].psnr) == 11 and len(found[2].psnr) == 6


def test_a_way_of_which_a_seed_failed_arrives_nowhere_on_that_image():
    seen = curves(8)
    seen["history_train"][1] = np.nan
    found = races.lines(table(), seen)
    assert np.isnan(races.seconds_to(found[0], 10.0)) and races.seconds_to(found[1], 10.0) == 0


def test_without_labels_a_way_is_called_by_its_settings():
    some = table().drop(columns="label")
    assert races.ways_of(some).unique().tolist() == ["optimizer slow", "optimizer fast"]


def test_what_has_no_curves_is_refused():
    for on, seen in (("train", curves(8, points=1)), ("heldout", curves(8).map(lambda part: part * np.nan))):
        with pytest.raises(Refused, match="no training curves"):
            races.lines(table(), seen, on)


def test_what_failed_or_was_pruned_on_an_image_does_not_stop_the_race():
    seen = curves(8)
    seen["history_train"][4:6, 6:] = np.nan  # pruned on one image
    seen["history_train"][2:4] = np.nan  # failed on the other
    found = races.lines(table(), seen)
    assert len(found) == 3
    assert len(races.race(found)) and len(races.chart(found).axes[0].lines)


def test_a_chart_has_a_line_for_each_way():
    found = races.lines(table(), curves(8))
    axes = races.chart(found).axes[0]
    assert [drawn.get_label() for drawn in axes.lines] == ["slow", "fast"]
    assert "training pixels" in axes.get_ylabel() and "held-out" in races.chart(found, "heldout").axes[0].get_ylabel()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two optimizers on two images."""
    out = tmp_path_factory.mktemp("races") / "run"
    axes = ["--config.axes.scale=1", "--config.axes.optimizer=adam,sgd", "--config.axes.image=astronaut,chelsea"]
    assert exit_status(sweep.main, [*SMALL, *axes, f"--out={out}"]) == 0
    return out


@pytest.mark.slow
def test_a_run_is_raced_from_its_command_to_a_table_a_file_and_a_figure(run, capsys):
    assert exit_status(race.main, [str(run)]) == 0
    said = capsys.readouterr().out
    assert "optimizer adam" in said and "100% of the steps" in said and str(run / "race.csv") in said
    raced = pd.read_csv(run / "race.csv")
    assert len(raced) == 2 * 2 * 3 and (raced[raced["way"] == "optimizer adam"]["ratio"] == 1).all()
    assert iio.imread(run / "race.png").std() > 1
    # The reference arrives where its training ended: what the table of the run says.
    results = pd.read_csv(run / "results.csv").query("optimizer == 'adam'").groupby("image")["psnr_train"].mean()
    last = raced[(raced["way"] == "optimizer adam") & (raced["target"] == "100% of the steps")].set_index("image")
    assert (last["psnr"] >= results - 1e-3).all()


def test_a_race_timed_again_has_the_same_targets(run, tmp_path, capsys):
    assert exit_status(race.main, [str(run), "--retimed", f"--out={tmp_path}"]) == 0
    assert exit_status(race.main, [str(run)]) == 0
    again, before = pd.read_csv(tmp_path / "race.csv"), pd.read_csv(run / "race.csv")
    np.testing.assert_allclose(again["psnr"], before["psnr"], rtol=1e-5)
    assert again["seconds"].notna().equals(before["seconds"].notna()) and not np.allclose(
        again["seconds"], before["seconds"], equal_nan=True
    )


def test_a_race_to_given_levels_from_another_reference_goes_where_it_is_asked(run, tmp_path, capsys):
    arguments = ["--psnr=5,99", "--on=heldout", "--reference=optimizer sgd", f"--out={tmp_path / 'out'}"]
    assert exit_status(race.main, [str(run), *arguments]) == 0
    raced = pd.read_csv(tmp_path / "out" / "race.csv")
    assert set(raced["target"]) == {"5 dB", "99 dB"} and raced.query("psnr == 99")["seconds"].isna().all()
    assert "held-out pixels" in capsys.readouterr().out and (tmp_path / "out" / "race.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--psnr=high"], "--psnr=high"),
        (["--psnr=20,nan"], "--psnr=20,nan"),
        (["--on=test"], "allowed: train, heldout"),
        (["--reference=optimizer adm"], "did you mean 'optimizer adam'"),
        (["--stage=2"], "--stage"),
    ],
)
def test_what_cannot_be_raced_is_refused_in_a_line(run, arguments, said, capsys):
    assert exit_status(race.main, [str(run), *arguments]) == 2
    told_of = capsys.readouterr().err
    assert said in told_of and told_of.count("\n") == 1


def test_what_is_no_finished_run_is_refused_in_a_line(run, tmp_path, capsys):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text((run / "run.json").read_text())
    for arguments, said in (
        ([], "required: RUN"),
        ([str(tmp_path)], "no run folder"),
        ([str(tmp_path / "begun")], "not finished"),
    ):
        assert exit_status(race.main, arguments) == 2
        told_of = capsys.readouterr().err
        assert said in told_of and told_of.count("\n") == 1
