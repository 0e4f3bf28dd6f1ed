"""A network that is named in the place of a study's own: what the study leaves to it, and what is to know about it."""

import contextlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from inr_jax.fit.design import Fit
from inr_jax.fit.initializers import INITS
from inr_jax.fit.networks import NETWORKS, coordinates
from inr_jax.settings import AUTO, Refused, declared, settle, walk


@lru_cache
def own_settings() -> tuple[str, ...]:
    """The settings whose good values are another network's no longer: the initialisation, and numbers of a network.

    Sizes are no part of it, nor is the last layer, which is for the values that are fitted.
    """
    found = [s for row in NETWORKS.values() for s in walk(row, lambda setting: (setting.registry or {}).values())]
    return ("init", *dict.fromkeys(setting.name for setting in found if setting.traced))


def describe_left(left: Mapping[str, Any], networks: Iterable[str]) -> list[str]:
    """Return a line about what a study sets for its own network and leaves to these, if there is any."""
    if not left:
        return []
    were = ", ".join(f"{name}={value}" for name, value in left.items())
    return [f"network={','.join(networks)}: {were}, which this study sets for its own network, is left to each network"]


def describe_surroundings(networks: Iterable[str], settings: Mapping[str, Any], chosen: Iterable[str]) -> list[str]:
    """Return a line for each encoding and domain that networks are not made for, but for those that were chosen."""
    lines: dict[str, list[str]] = {}
    for network in networks:
        made = coordinates(network)
        others = {name: settings[name] for name in made if settings[name] != made[name] and name not in chosen}
        if others:
            there = ", ".join(f"{name}={value}" for name, value in others.items())
            flags = " ".join(f"--config.design.{name}={made[name]}" for name in others)
            lines.setdefault(f"stands behind {there}; for coordinates, as it is made for: {flags}", []).append(network)
    return [f"network={','.join(names)} {line}" for line, names in lines.items()]


def describe_inits(networks: Iterable[str], settings: Mapping[str, Any], inits: Iterable[str]) -> list[str]:
    """Return a line about networks of sines and rules of initialisation that do not know by what z is multiplied."""
    ignorant = [init for init in inits if init in INITS and not _knows(init, "omega_0", "phi")]
    sines = []
    for network in networks if ignorant else ():
        with contextlib.suppress(Refused):  # for another reason, which is named later
            own = settle(Fit, {**settings, "network": network, "init": AUTO})[1].get("init", "")
            sines += [network] if own in INITS and _knows(own, "omega_0") else []
    wrong = f"network={','.join(sines)} trains badly with init={','.join(ignorant)}, which ignores omega_0"
    return [f"{wrong}; init={AUTO} knows it"] if sines else []


def _knows(init: str, *names: str) -> bool:
    """Whether a rule of initialisation is told one of these."""
    return any(setting.name in names for setting in declared(INITS[init]))
