"""Optuna's trials: fitted together, each told what its member scores alone, and none left running."""

import itertools
import subprocess
import sys

import jax
import numpy as np
import pytest

import inr_jax as inr
from inr_jax.settings import Refused
from inr_jax.sweep import ensemble
from inr_jax.sweep import optuna as trials

optuna = pytest.importorskip("optuna")
from optuna.trial import TrialState  # noqa: E402

IMAGE = np.random.default_rng(0).random((12, 12, 3)).astype(np.float32)
TASK = inr.tasks.split(IMAGE, "quarter")
DESIGN = inr.Design(frequencies=6, width=16, depth=2, steps=12)
SCORES = ("psnr_train", "psnr_heldout", "psnr_all", "ssim")
SCALES, RATES = [0.5, 2.0, 8.0], [1e-3, 1e-1]
compiled: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration_secs, **kw: compiled.append(event) if event.endswith("backend_compile_duration") else None
)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def created(sampler=None, **kw):
    return optuna.create_study(direction="maximize", sampler=sampler or optuna.samplers.RandomSampler(seed=0), **kw)


def grid_sampler():
    return optuna.samplers.GridSampler({"scale": SCALES, "learning_rate": RATES}, seed=0)


def space(trial):
    return {
        "scale": trial.suggest_float("scale", 0.5, 8, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True),
    }


def everything(trial):
    return {
        "scale": trial.suggest_float("scale", 0.5, 8, log=True),
        # At these rates rounding does not grow: the scores do not depend on the program's width.
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True),
        "omega_0": trial.suggest_float("omega_0", 5, 40),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 10, log=True),
        "anisotropy": trial.suggest_float("anisotropy", 0.5, 2),
        "seed": trial.suggest_int("seed", 0, 3),
    }


def states(study):
    return [trial.state for trial in study.trials]


def visited(study):
    return sorted((trial.params["scale"], trial.params["learning_rate"]) for trial in study.trials)


@pytest.mark.parametrize(
    ("network", "objective"), [("relu", "ssim"), pytest.param("siren", "psnr_heldout", marks=pytest.mark.slow)]
)
def test_each_told_value_is_that_of_the_members_own_single_fit(network, objective):
    design = DESIGN.replace(network=network, optimizer="adamw")
    study = trials.optimize(created(), design, TASK, everything, 5, objective=objective, chunk=2)
    assert states(study) == [TrialState.COMPLETE] * 5
    assert len({trial.value for trial in study.trials}) == 5
    for trial in study.trials:
        alone = inr.fit_many(design, inr.hypers(**trial.params), TASK)
        np.testing.assert_allclose(trial.value, getattr(alone, objective)[0], rtol=1e-4, atol=1e-5)
        assert list(trial.user_attrs) == list(SCORES)
        np.testing.assert_allclose(
            [trial.user_attrs[n] for n in SCORES], [getattr(alone, n)[0] for n in SCORES], rtol=1e-4, atol=1e-5
        )


def test_the_best_trial_of_a_grid_is_the_best_of_the_grid_fitted_at_once():
    study = trials.optimize(created(grid_sampler()), DESIGN, TASK, space, 6, chunk=2)
    axes = {"scale": SCALES, "learning_rate": RATES}
    whole = inr.fit_many(DESIGN, inr.hypers(**axes), TASK).psnr_heldout
    points = list(itertools.product(*axes.values()))
    assert visited(study) == sorted(points)
    assert tuple(study.best_trial.params[name] for name in axes) == points[int(whole.argmax())]
    np.testing.assert_allclose(study.best_value, whole.max(), rtol=1e-5)


def test_a_sampler_that_has_seen_its_whole_grid_ends_the_study():
    study = trials.optimize(created(grid_sampler()), DESIGN, TASK, space, 20, chunk=2)
    assert len(visited(study)) == len(set(visited(study))) == 6
    assert states(study) == [TrialState.COMPLETE] * 6


def test_what_a_space_leaves_out_has_its_default_and_its_best_trial_gives_it_again():
    def conditional(trial):
        network_rate = {"learning_rate": 3e-3} if trial.suggest_categorical("fast", [True, False]) else {}
        return {"scale": trial.suggest_int("whole_scale", 1, 9)} | network_rate

    study = trials.optimize(created(), DESIGN, TASK, conditional, 6, chunk=2)
    assert len({trial.params["fast"] for trial in study.trials}) == 2
    for trial in study.trials:
        alone = inr.fit_many(
            DESIGN,
            inr.hypers(scale=trial.params["whole_scale"], learning_rate=3e-3 if trial.params["fast"] else 1e-3),
            TASK,
        )
        np.testing.assert_allclose(trial.value, alone.psnr_heldout[0], rtol=1e-4)
    again = inr.fit_many(DESIGN, inr.hypers(**conditional(study.best_trial)), TASK)
    np.testing.assert_allclose(again.psnr_heldout[0], study.best_value, rtol=1e-4)


def bumps(coords, key, *, sharpness=1.0, centres=4):
    at = jax.random.uniform(key, (centres, coords.shape[-1]))
    return jax.numpy.exp(-sharpness * jax.numpy.sum(jax.numpy.square(coords[:, None] - at), axis=-1))


@pytest.mark.slow
def test_float_settings_of_an_encoding_of_ones_own_may_be_suggested_too():
    design = DESIGN.replace(encoding=bumps, centres=5)
    one_of = {"sharpness": [1.0, 8.0]}
    sampler = optuna.samplers.GridSampler(one_of)

    def own(trial):
        return {"sharpness": trial.suggest_float("sharpness", 0.1, 10)}

    study = trials.optimize(created(sampler), design, TASK, own, 2)
    for trial in study.trials:
        alone = inr.fit_many(design, inr.hypers(design, **trial.params), TASK)
        np.testing.assert_allclose(trial.value, alone.psnr_heldout[0], rtol=1e-4)
    assert study.trials[0].value != study.trials[1].value
    with pytest.raises(Refused, match=r"centres=. fixes the compiled program"):
        trials.optimize(created(), design, TASK, lambda trial: {"centres": trial.suggest_int("centres", 1, 5)}, 2)


@pytest.mark.slow
def test_a_member_that_diverges_has_failed_and_the_study_goes_on():
    design = DESIGN.replace(output="linear", optimizer="sgd", steps=40)
    study = created()
    for rate in (1e-3, 1e3, 1e-2):
        study.enqueue_trial({"scale": 1.0, "learning_rate": rate})

    def wide(trial):
        return {
            "scale": trial.suggest_float("scale", 1, 2),
            "learning_rate": trial.suggest_float("learning_rate", 0, 1e4),
        }

    trials.optimize(study, design, TASK, wide, 3, chunk=2)
    assert states(study) == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    alone = inr.fit_many(design, inr.hypers(scale=1, learning_rate=1e3), TASK)
    assert study.trials[1].user_attrs["diverged_at"] == alone.diverged_at[0] >= 0
    assert study.trials[1].value is None and "psnr_train" in study.trials[1].user_attrs
    assert "diverged_at" not in study.trials[0].user_attrs
    tame = inr.fit_many(design, inr.hypers(scale=1, learning_rate=[1e-3, 1e-2]), TASK).psnr_heldout
    np.testing.assert_allclose([study.trials[0].value, study.trials[2].value], tame, rtol=1e-5)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_error_in_a_fit_leaves_no_trial_running_and_none_of_an_earlier_round_changed(error, monkeypatch):
    study = created()
    fit_many, rounds = ensemble.fit_many, []

    def breaks(*args, **kw):
        rounds.append(len(args[1].seed))
        if len(rounds) == 2:
            raise error("stop")
        return fit_many(*args, **kw)

    monkeypatch.setattr(ensemble, "fit_many", breaks)
    with pytest.raises(error, match="stop"):
        trials.optimize(study, DESIGN, TASK, space, 6, chunk=2)
    assert rounds == [2, 2]
    assert states(study) == [TrialState.COMPLETE] * 2 + [TrialState.FAIL] * 2
    monkeypatch.undo()
    trials.optimize(study, DESIGN, TASK, space, 2, chunk=2)
    assert states(study)[4:] == [TrialState.COMPLETE] * 2


@pytest.mark.slow
def test_an_error_in_the_space_or_while_telling_leaves_no_trial_running(monkeypatch):
    study = created()

    def third_fails(trial):
        if trial.number == 2:
            raise KeyboardInterrupt
        return space(trial)

    with pytest.raises(KeyboardInterrupt):
        trials.optimize(study, DESIGN, TASK, third_fails, 4, chunk=2)
    assert states(study) == [TrialState.COMPLETE] * 2 + [TrialState.FAIL]

    class Objects(optuna.samplers.RandomSampler):
        def after_trial(self, study, trial, state, values):
            if trial.number >= 5:
                raise RuntimeError("no more of this")

    study.sampler = Objects(seed=0)
    with pytest.raises(RuntimeError, match="no more of this"):
        trials.optimize(study, DESIGN, TASK, space, 6, chunk=4)
    assert states(study)[3:] == [TrialState.COMPLETE] * 3 + [TrialState.FAIL]


@pytest.mark.parametrize("chunk", [0, 3])
@pytest.mark.slow
def test_one_program_serves_all_rounds_the_last_and_smaller_one_too(chunk, monkeypatch):
    design = DESIGN.replace(width=18 + chunk)
    fit_many, rounds = ensemble.fit_many, []

    def counted(*args, **kw):
        fits = fit_many(*args, **kw)
        rounds.append((len(args[1].seed), len(compiled)))
        return fits

    monkeypatch.setattr(ensemble, "fit_many", counted)
    compiled.clear()
    trials.optimize(created(), design, TASK, space, 11, chunk=chunk)
    wide = chunk or jax.local_device_count()
    members, programs = zip(*rounds, strict=True)
    assert members == (wide,) * (11 // wide) + (11 % wide,)
    assert programs[0] >= 1 and len(set(programs)) == 1
    trials.optimize(created(), design, TASK, everything, wide, chunk=chunk)
    assert len(compiled) == programs[0]


def stored(kind, path):
    if kind == "sqlite":
        return optuna.storages.RDBStorage(f"sqlite:///{path}/study.db")
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(f"{path}/study.log"))


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_that_was_stored_goes_on_where_it_stopped(kind, tmp_path):
    for more in (1, 3, 9):
        storage = stored(kind, tmp_path)
        study = created(grid_sampler(), storage=storage, study_name="s", load_if_exists=True)
        trials.optimize(study, DESIGN, TASK, space, more, chunk=2)
        there = visited(study), states(study), [trial.user_attrs["ssim"] for trial in study.trials]
        if kind == "sqlite":
            storage.remove_session()
            storage.engine.dispose()
    assert there[0] == sorted(itertools.product(SCALES, RATES))
    assert there[1] == [TrialState.COMPLETE] * 6 and np.isfinite(there[2]).all()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.slow
def test_enqueued_trials_come_first_and_a_constant_liar_learns_from_all():
    study = created(optuna.samplers.TPESampler(seed=0, n_startup_trials=4, constant_liar=True))
    study.enqueue_trial({"scale": 3.0, "learning_rate": 2e-3})
    trials.optimize(study, DESIGN, TASK, space, 8, chunk=4)
    assert study.trials[0].params == {"scale": 3.0, "learning_rate": 2e-3}
    assert states(study) == [TrialState.COMPLETE] * 8 and len(set(visited(study))) == 8


@pytest.mark.slow
def test_what_chooses_on_a_validation_split_does_not_see_the_heldout_pixels():
    task = inr.tasks.split(IMAGE, "quarter", validation=0.25)
    hidden = IMAGE.copy()
    hidden.reshape(-1, 3)[TASK.heldout] = 0.5
    blind = task._replace(image=hidden)
    values = [[t.value for t in trials.optimize(created(), DESIGN, each, space, 4).trials] for each in (task, blind)]
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"objective": "psnr"}, ["objective='psnr'", "psnr_heldout"]),
        ({"trials": 0}, ["trials=0", "at least 1"]),
        ({"chunk": -1}, ["chunk=-1", "at least 0"]),
        ({"space": lambda trial: {"scael": 1.0}}, ["'scael'", "'scale'"]),
        ({"space": lambda trial: {"width": 64}}, ["width=64", "one study for each Design", "learning_rate"]),
        ({"space": lambda trial: {"scale": -1.0}}, ["scale=-1.0", "at least 0"]),
        ({"space": lambda trial: {"seed": 0.5}}, ["seed=0.5", "whole number"]),
        ({"space": lambda trial: None}, ["space returned None", "dict"]),
        ({"task": inr.tasks.split(IMAGE, "all")}, ["psnr_heldout", "held-out pixels"]),
        ({"task": inr.tasks.split(IMAGE[:8, :8]), "objective": "ssim"}, ["ssim", "(8, 8)", "11x11"]),
        ({"task": inr.tasks.split(IMAGE[0]), "objective": "ssim"}, ["ssim", "(12,)", "11x11"]),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_no_trial_running(changed, named):
    study = created()
    asked = {"design": DESIGN, "task": TASK, "space": space, "trials": 2} | changed
    with pytest.raises(Refused) as refused:
        trials.optimize(study, **asked)
    assert "\n" not in str(refused.value)
    for word in named:
        assert word in str(refused.value)
    assert not study.get_trials(states=(TrialState.RUNNING,))


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "maximize"]])
def test_a_study_that_does_not_maximise_one_score_is_refused_before_anything_is_asked(directions):
    study = optuna.create_study(directions=directions)
    with pytest.raises(Refused, match=f"{', '.join(directions)}; allowed: maximize"):
        trials.optimize(study, DESIGN, TASK, space, 2)
    assert not study.trials


def test_without_optuna_the_package_is_imported_and_only_trials_are_refused():
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "import inr_jax as inr\nfrom inr_jax import trials\n"
        "try: trials.optimize(None, inr.Design(), None, None, 1)\n"
        "except inr.Refused as refused: print(refused)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "optuna is not installed: pip install 'inr-jax[optuna]'\n", done.stderr
