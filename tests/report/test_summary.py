"""Tables: means over seeds, then over images; intervals that say over what; nothing that diverged in a mean."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from inr_jax.fit.metrics import METRICS
from inr_jax.report.summary import (
    best_member,
    best_row,
    data_settings,
    distinguishing_settings,
    matching_baselines,
    replicate,
    summarize,
    varying_settings,
)
from inr_jax.report.text import (
    describe_spread,
    find_best,
    fold_table,
    format_baselines,
    format_table,
    heading,
    scored_on,
)

SETTINGS = {"task": "split", "size": 8, "split": "quarter", "validation": 0.0, "split_seed": 0}


def table(rows) -> pd.DataFrame:
    """Rows of (scale, image, seed, held-out PSNR, status)."""
    made = []
    for scale, image, seed, score, status in rows:
        scores = {name: score for name in ("psnr_train", "psnr_heldout", "psnr_all")} | {"ssim": 0.5}
        outcome = {"status": status, "diverged_at": 3 if status == "diverged" else None, "seconds": 1.0}
        made.append({"image": image, **SETTINGS, "scale": scale, "seed": seed} | scores | outcome)
    return pd.DataFrame(made)


def drawn(images: int, seeds: int, scales=(1.0, 4.0)) -> pd.DataFrame:
    noise = np.random.default_rng(0)
    return table(
        (scale, f"{image}.png", seed, noise.normal(20 + image, 1), "ok")
        for scale in scales
        for image in range(images)
        for seed in range(seeds)
    )


@pytest.mark.parametrize("seeds", [4, 9])
def test_of_one_image_the_interval_is_students_over_seeds(seeds):
    members = drawn(1, seeds)
    summary = summarize(members)
    assert replicate(members) == "seed" and f"over {seeds} seeds" in describe_spread(members)
    for scale, row in summary.table.set_index("scale").iterrows():
        scores = members[members["scale"] == scale]["psnr_heldout"]
        low, high = scipy.stats.t.interval(0.95, seeds - 1, scores.mean(), scipy.stats.sem(scores))
        np.testing.assert_allclose(
            [row["psnr_heldout"], row["psnr_heldout_half"]], [(low + high) / 2, (high - low) / 2]
        )
        assert row["members"] == seeds


def test_of_several_images_means_are_over_the_seeds_of_each_first_and_the_interval_is_over_images():
    members = drawn(4, 3)
    # One image has a seed less: it counts no less for it.
    members = members[~((members["image"] == "0.png") & (members["seed"] == 2))]
    rows = summarize(members).table.set_index("scale")
    assert replicate(members) == "image" and "over 4 images" in describe_spread(members)
    for scale, row in rows.iterrows():
        means = [g["psnr_heldout"].mean() for _, g in members[members["scale"] == scale].groupby("image")]
        np.testing.assert_allclose(row["psnr_heldout"], np.mean(means))
        np.testing.assert_allclose(row["psnr_heldout_half"], scipy.stats.t.ppf(0.975, 3) * np.std(means, ddof=1) / 2)


def test_pictures_and_generated_images_are_images_of_one_setting_though_only_pictures_are_resized():
    members = drawn(4, 1)
    resize = np.where(members["image"].isin(["0.png", "1.png"]), "crop", None)
    members.insert(2, "resize", resize)
    pd.testing.assert_frame_equal(summarize(members).table, summarize(members.drop(columns="resize")).table)
    members.loc[0, "resize"] = "fit"
    assert "resize" in varying_settings(members)


def test_a_setting_that_was_pruned_on_an_image_is_not_best_by_its_mean_over_the_others():
    rows = [(1.0, "easy", 0, 30.0, "ok"), (1.0, "hard", 0, 9.0, "pruned")]
    rows += [(4.0, "easy", 0, 28.0, "ok"), (4.0, "hard", 0, 20.0, "ok")]
    winner = best_row(summarize(table(rows)))
    assert summarize(table(rows)).table["scale"][winner.row] == 4
    found = find_best(table([*rows[:3], (4.0, "hard", 0, 9.0, "pruned")]))
    assert found.best is None and found.text.startswith("no best")


@pytest.mark.parametrize("seeds", [2, 3])
def test_of_few_seeds_the_spread_is_half_the_range_and_says_so(seeds):
    members = drawn(1, seeds)
    assert f"half the range over {seeds} seeds" in describe_spread(members)
    for scale, row in summarize(members).table.set_index("scale").iterrows():
        scores = members[members["scale"] == scale]["psnr_heldout"]
        np.testing.assert_allclose(row["psnr_heldout_half"], (scores.max() - scores.min()) / 2)


def test_one_member_of_each_has_no_interval():
    summary = summarize(drawn(1, 1))
    assert summary.table["psnr_heldout_half"].isna().all() and replicate(drawn(1, 1)) == ""
    assert "±" not in format_table(summary, best_row(summary))


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_what_diverged_or_failed_is_counted_marked_and_in_no_mean_and_no_best(status):
    members = table(
        [(1.0, "a", 0, 20.0, "ok"), (1.0, "a", 1, 22.0, "ok"), (4.0, "a", 0, 30.0, "ok"), (4.0, "a", 1, np.nan, status)]
    )
    summary = summarize(members)
    assert summary.table["psnr_heldout"].tolist() == [21.0, 30.0] and summary.table[status].tolist() == [0, 1]
    winner = best_row(summary)
    assert winner.row == 0
    assert "1 of 2" in format_table(summary, winner) and status in format_table(summary, winner)


def test_what_lies_behind_the_best_is_compared_on_the_same_image():
    # Images differ by 10 dB, settings by 1 dB on each: unpaired, that is nothing.
    scores = {(1.0, image): 20.0 + 10 * image + 0.1 * (image % 2) for image in range(4)}
    scores |= {(4.0, image): 19.0 + 10 * image for image in range(4)}
    members = table((scale, f"{image}.png", 0, score, "ok") for (scale, image), score in scores.items())
    found = find_best(members)
    assert found.best.row == 0 and found.summary.table["psnr_heldout_half"].min() > 10
    apart = [-1.0, -1.1, -1.0, -1.1]
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(apart), scipy.stats.sem(apart))
    assert np.isnan(found.summary.table["gap"][0])
    np.testing.assert_allclose(found.summary.table.loc[1, ["gap", "gap_half"]].tolist(), [-1.05, (high - low) / 2])
    assert "-1.05 ± 0.09" in format_table(found.summary, found.best)


def test_what_is_fitted_is_no_setting_to_be_best_the_best_is_that_of_the_mean_over_it():
    rows = [(1.0, "synthetic:wave", 0, 20.0, "ok"), (4.0, "synthetic:wave", 0, 24.0, "ok")] * 2
    members = table(rows).assign(angle=[0.0, 0.0, 45.0, 45.0])
    members.loc[2, "psnr_heldout"] = 27.0
    found = find_best(members)
    assert found.best is None and len(found.summary.table) == 4 and data_settings(members) == ["angle"]
    assert "best: scale 4: 24.00 dB" in found.text and "(mean over angle)" in found.text.replace("  ", " ")
    assert find_best(members[members["angle"] == 45.0]).text.startswith("best: scale 1: 27.00")


def test_scores_of_different_data_are_not_ranked_against_each_other():
    members = drawn(1, 1)
    validated = members.assign(validation=[0.0, 0.25])  # one setting by pixels, the other by measurements put away
    assert find_best(validated).best is None and find_best(validated).text.startswith(
        "no best: scores are of different"
    )
    easier = members.assign(task="denoising", sigma=[0.1, 0.2])
    assert "different data (sigma)" in find_best(easier).text
    every = pd.concat([members.assign(validation=part, psnr_heldout=[20.0 + part, 21.0]) for part in (0.0, 0.25)])
    assert find_best(every).text.startswith("best: scale 4: 21.00 dB")
    assert "(mean over validation)" in find_best(every).text


def test_what_was_scored_is_called_pixels_only_where_it_is_pixels():
    members = drawn(1, 1)
    assert (scored_on("psnr_train", members), scored_on("psnr_heldout", members)) == (
        "training pixels",
        "held-out pixels",
    )
    rays = members.assign(task="tomography")
    assert scored_on("psnr_train", rays) == "training measurements" and scored_on("psnr_all", rays) == "all pixels"
    assert scored_on("psnr_heldout", rays) == "held-out pixels"  # of the truth
    assert scored_on("psnr_heldout", rays.assign(validation=0.1)) == "held-out measurements"


def test_a_setting_that_follows_from_others_is_not_needed_to_tell_members_apart():
    members = drawn(1, 2).assign(encoding="gaussian", angle=0.0)
    other = members.assign(encoding="basic", scale=np.nan)
    both = pd.concat([members, other, members.assign(angle=3.0)])
    assert distinguishing_settings(both, ["size", "encoding", "scale", "angle"]) == ["encoding", "scale", "angle"]
    assert distinguishing_settings(both.assign(family=both["encoding"]), ["encoding", "family"]) == ["encoding"]


def test_the_interpolations_of_some_members_are_those_of_their_images_and_settings():
    baselines = pd.DataFrame(
        {"image": ["a", "a", "b"], "resize": ["crop"] * 3, "exponent": [1.0, 2.0, 1.0], "method": ["linear"] * 3}
    ).assign(psnr_heldout=[20.0, 21.0, 22.0], psnr_all=[23.0, 24.0, 25.0])
    some = pd.DataFrame(
        {"image": ["a", "a"], "resize": [np.nan, np.nan], "exponent": [2.0, 2.0], "psnr_all": [1.0, 2.0]}
    )
    assert matching_baselines(baselines, some)["psnr_heldout"].tolist() == [21.0]


def test_what_chose_the_settings_is_named_and_else_it_is_an_oracle():
    members = drawn(1, 1)
    assert "(oracle: chosen on the held-out pixels that it is reported on)" in find_best(members).text
    validated = members.assign(validation=0.25)
    assert "(chosen on the validation pixels that it is reported on)" in find_best(validated).text
    text = find_best(members, "other images").text
    assert "(settings chosen on other images; the best of the 2 chosen on the held-out pixels: oracle)" in text
    assert "(settings chosen on other images)" in find_best(members[:1], "other images").text


def test_a_further_metric_is_summarised_and_shown_with_its_unit_and_digits():
    members = drawn(1, 2).assign(lpips=[0.25, 0.5, 0.75, 1.0])
    metrics = {**METRICS, "lpips": METRICS["ssim"]._replace(unit="nats", digits=3, label="LPIPS")}
    summary = summarize(members, metrics)
    assert summary.settings == ["scale"] and summary.table["lpips"].tolist() == [0.375, 0.875]
    assert "0.375 ± 0.125" in format_table(summary, None) and heading("lpips", metrics) == "LPIPS (nats)"
    assert find_best(members, metrics=metrics).best == find_best(members.drop(columns="lpips")).best


def test_seeds_together_are_a_mean_over_every_image_or_none():
    table = pd.DataFrame({"image": list("aabb") * 2, "seed": [0, 1] * 4, "scale": [1.0] * 4 + [2.0] * 4})
    table = table.assign(split_seed=0, status="ok", psnr_train=30.0, psnr_heldout=[20.0, 20, 30, 30] * 2)
    table["together"] = [np.nan, np.nan, 30.5, 30.5, 21.0, 21.0, 31.0, 31.0]
    table.loc[0, "status"] = "diverged"
    found = summarize(table).table["together"]
    assert np.isnan(found[0]) and found[1] == 26.0


def test_a_table_is_no_wider_than_the_terminal_and_names_the_scores_that_it_leaves_out(monkeypatch):
    members = drawn(1, 2).assign(together=22.0)
    found = find_best(members)
    monkeypatch.setenv("COLUMNS", "70")
    narrow = format_table(found.summary, found.best)
    assert max(map(len, narrow.splitlines())) <= 70 and "no room for together, ssim: see results.csv" in narrow
    assert "22.00" not in narrow and "± " in narrow and " best\n" in narrow
    monkeypatch.setenv("COLUMNS", "200")
    wide = format_table(found.summary, found.best)
    assert "22.00" in wide and "results.csv" not in wide


@pytest.mark.parametrize("width", [30, 50])
def test_a_table_that_is_too_wide_is_folded_and_every_cell_is_left_whole(width):
    columns = {f"setting_{name}": [f"{name}{row}.125" for row in range(3)] for name in "abcdef"}
    for keys in (["setting_a"], list(columns)[:4]):
        parts = [part.splitlines() for part in fold_table(columns, keys, width).split("\n\n")]
        assert len(parts) > 1 and all(len(line) <= width and len(part) == 4 for part in parts for line in part)
        first = {part[2].split()[0] for part in parts}
        assert first == ({"a1.125"} if len(keys) == 1 else {"1"})
        cells = {cell for part in parts for line in part for cell in line.split()}
        assert cells >= {*columns, *(cell for column in columns.values() for cell in column)}


def test_baselines_that_are_too_long_for_a_line_have_a_line_each():
    baselines = pd.DataFrame({"method": ["linear", "cubic"], "psnr_heldout": [20.0, 21.0], "psnr_all": [23.0, 24.0]})
    assert format_baselines(baselines, 200).count("\n") == 0
    assert format_baselines(baselines, 80).splitlines()[1:] == [
        "  linear 20.00 held out, 23.00 all pixels",
        "  cubic 21.00 held out, 24.00 all pixels",
    ]


def test_a_single_setting_was_not_chosen():
    assert find_best(drawn(1, 1)[:1]).text.endswith("over all pixels")


def test_the_best_member_has_the_best_setting_though_another_has_the_highest_score():
    rows = [(1.0, "a", 0, 30.0, "ok"), (1.0, "a", 1, 10.0, "ok"), (4.0, "a", 0, 25.0, "ok"), (4.0, "a", 1, 26.0, "ok")]
    assert best_member(table(rows)) == 3
    assert best_member(table([*rows[:3], (4.0, "a", 1, 26.0, "diverged")])) == 0
    assert best_member(table([(1.0, "a", 0, np.nan, "failed")])) is None
