"""One photograph and one command: what is fitted, what it leaves, and what is refused."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import fit, render
from inr_jax.cli.arguments import exit_status
from inr_jax.sweep.grid import grid

SMALL = ["--steps=3", "--config.design.width=4", "--config.design.depth=1", "--config.design.pixels=16"]
SMALL += ["--config.design.hash_levels=2", "--config.design.hash_entries=4", "--config.run.history=2"]


@pytest.fixture
def photograph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    colours = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    Image.fromarray(colours).save("photo.png")
    return "photo.png"


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def member(*arguments: str):
    request: argparse.Namespace = fit.command().parse(arguments)
    (only,) = grid(fit.study(request, Path("out.png")).study)
    return only.settings


def test_a_photograph_is_fitted_drawn_in_its_shape_and_kept(photograph, capsys):
    assert exit_status(fit.main, [photograph, *SMALL, "--out=fit.png"]) == 0
    drawn, network, report = capsys.readouterr().out.splitlines()
    assert drawn.startswith("fit.png: 20x12, PSNR ") and drawn.endswith(" dB")
    assert pixels("fit.png").shape == (12, 20, 3) and Path(report.removeprefix("report: ")).is_file()
    (folder,) = Path("runs").glob("fit-grid-*")
    assert str(folder) in network
    assert exit_status(render.main, [str(folder), "--member=0", "--size=40x24", "--out=twice.npy"]) == 0
    assert np.load("twice.npy").shape == (24, 40, 3)


def test_the_psnr_that_is_printed_is_that_of_the_picture(photograph, capsys):
    assert exit_status(fit.main, [photograph, *SMALL, "--out=fit.npy"]) == 0
    printed = float(capsys.readouterr().out.partition("PSNR ")[2].partition(" dB")[0])
    error = np.load("fit.npy").clip(0, 1) - pixels(photograph) / 255
    assert abs(printed + 10 * np.log10(np.mean(error**2))) < 0.01


def test_the_same_command_fits_nothing_again(photograph, capsys, monkeypatch):
    assert exit_status(fit.main, [photograph, *SMALL]) == 0
    first, before = capsys.readouterr().out, Path("photo-fit.png").read_bytes()
    monkeypatch.setattr("inr_jax.runs.study.fit_missing", None)
    assert exit_status(fit.main, [photograph, *SMALL]) == 0
    assert capsys.readouterr().out == first and Path("photo-fit.png").read_bytes() == before


@pytest.mark.parametrize(
    ("network", "encoding", "domain"),
    [
        ("relu", "hash", "unit"),
        ("gelu", "hash", "unit"),
        ("siren", "identity", "signed"),
        ("bacon", "identity", "unit"),
    ],
)
def test_a_network_stands_where_it_is_made_for(photograph, network, encoding, domain):
    found = member(photograph, f"--network={network}")
    assert (found["network"], found["encoding"], found["domain"]) == (network, encoding, domain)
    assert found["split"] == "all" and found["size"] == 20


def test_fields_that_are_given_win_over_what_the_command_chooses(photograph):
    found = member(photograph, "--config.design.encoding=gaussian", "--config.hyper.scale=3", "--size=8", "--steps=7")
    assert (found["encoding"], found["scale"], found["size"], found["steps"]) == ("gaussian", 3.0, 8, 7)
    assert member(photograph, "--network=gauss")["learning_rate"] == fit.RATES["gauss"]
    assert member(photograph, "--network=gauss", "--config.hyper.learning_rate=1")["learning_rate"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["photo.png", "--network=sirn"], ["sirn", "'siren'"]),
        (["photo.png", "--netwrok=siren"], ["--netwrok", "'--network'"]),
        (["phot.png"], ["phot.png", "no such file"]),
        ([], ["IMAGE"]),
        (["photo.png", "--size=21"], ["--size=21", "20x12", "at most 20"]),
        (["photo.png", "--size=big"], ["--size=big", "whole number of at least 2"]),
        (["photo.png", "--steps=0"], ["--steps=0", "at least 1"]),
        (["photo.png", "--out=fit.jpg"], ["--out=fit.jpg", ".png"]),
        (["photo.png", "--out=photo.png"], ["--out=photo.png", "itself"]),
        (["photo.png", "--config.design.widht=3"], ["widht", "'design.width'"]),
        (["photo.png", "--config.axes.seed=0,1"], ["axes.seed", "experiments.sweep"]),
        (["two.npy", "--out=fit.png"], ["fit.png", "1 channel or 3", ".npy"]),
        (["line.npy"], ["line.npy", "a signal"]),
    ],
)
def test_a_wrong_request_ends_in_one_line_and_leaves_nothing(photograph, arguments, named, capsys):
    np.save("two.npy", np.zeros((4, 4, 2), np.float32))
    np.save("line.npy", np.zeros(9, np.float32))
    before = sorted(Path().iterdir())
    assert exit_status(fit.main, arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert all(word in said.err for word in named) and sorted(Path().iterdir()) == before


def test_a_dry_run_says_how_long_it_takes_here_and_writes_nothing(photograph, capsys):
    before = sorted(Path().iterdir())
    assert exit_status(fit.main, [photograph, *SMALL, "--dry_run"]) == 0
    assert "1 members, 3 steps" in (said := capsys.readouterr().out) and "on this machine" in said
    assert sorted(Path().iterdir()) == before
