"""What makes two requests the same run: the settings that its members read, its cases, and the pixels of its image."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from inr_jax.data import images
from inr_jax.data.problem import Data, load
from inr_jax.runs.format import Damaged
from inr_jax.runs.record import Record
from inr_jax.settings import Refused
from inr_jax.sweep.grid import REMARKS, Grid, changed_settings, fields, setting_defaults
from inr_jax.sweep.study import Study

# The folder in a run's folder where the run is that chose its members.
SEARCH = "search"


def identify(study: Study, members: Grid) -> dict[str, Any]:
    """Return what a run's fingerprint covers: values of an axis and of `run.*` are no part of it.

    Nor is a setting of the package at its default, or one that no member reads, so that one that a later version adds
    changes no fingerprint. Where an axis has texts, such as encodings, all settings count as read: its other values may
    read others.
    """
    read = {name for kind in members.kinds for name, value in kind.like.settings.items() if value is not None}
    texts = any(isinstance(value, str) for values in study.axes.values() for value in values)
    settings = {name: value for name, value in _changed(study).items() if texts or name in read}
    cases = [{name: value for name, value in case.items() if name not in REMARKS} for case in study.cases]
    identity: dict[str, Any] = {"settings": settings} | ({"cases": cases} if any(cases) else {})
    if "image" not in study.axes and not any("image" in case for case in cases):
        identity["image"] = _image_digest(study)
    return json.loads(json.dumps(identity, default=str))


def identify_second(study: Study, first: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the fingerprint of a second run covers: its settings, and the run that chooses its cases."""
    return json.loads(json.dumps({"settings": _changed(study), "chosen_by": fingerprint(first)}, default=str))


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that name the identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def refuse_other(record: Record, identity: Mapping[str, Any]) -> None:
    """Raise Refused, with the differences, if the folder has a run of another identity, or is no run folder."""
    try:
        run = record.run
    except Damaged:
        return
    if run:
        if found := differences(run.identity, identity):
            raise Refused(f"--out={record.directory} holds another run: {'; '.join(found)}")
    elif record.directory.exists():
        names = {path.name for path in record.directory.iterdir() if path.name[0] != "."}
        if names - {SEARCH} and "members" not in names:
            raise Refused(f"--out={record.directory} is not empty and holds no run")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return how two identities differ, by name; a setting that one lacks has its default there."""
    defaults, settings = setting_defaults(), [each.get("settings", {}) for each in (before, now)]
    found = []
    for name in sorted({*settings[0], *settings[1]}):
        there, asked = (each.get(name, defaults.get(name)) for each in settings)
        if there != asked:
            found.append(f"{name}={there!r} there, {asked!r} asked")
    others = [name for name in sorted({*before, *now} - {"settings"}) if before.get(name) != now.get(name)]
    # Another size, for example, is other pixels too.
    return found or [f"{name}: {before.get(name)} there, {now.get(name)} asked" for name in others]


def _changed(study: Study) -> dict[str, Any]:
    """The study's own settings that are not at their defaults."""
    return changed_settings({name: value for name, value in study.settings.items() if value is not None})


def _image_digest(study: Study) -> str:
    known = fields([study.settings]).data
    data = Data(**{name: value for name, value in study.settings.items() if name in known})
    return images.digest_picture(load(data).picture)
