"""The table of the seed's README, by its own protocol."""

from ml_collections import ConfigDict

from inr_jax.configuration import base

VARIANTS = {
    "full": "60 epochs of 512 steps at 512x512",
    "tuned": "what sweeping adds",
    "quick": "the same rows at 64x64, 1,500 steps",
}
PUBLISHED = {"plain": 17.448, "positional L=10": 24.74, "octaves, B length 1024": 31.96}


def get_config(variant: str) -> ConfigDict:
    config = base()
    config.size, config.split, config.resize = 512, "rows", "stretch"
    config.design.init, config.design.optimizer, config.design.schedule = (
        "torch",
        "adamw",
        "plateau",
    )
    config.design.steps, config.design.pixels = 60 * 512, 256
    config.hyper.scale, config.hyper.learning_rate, config.hyper.weight_decay = 1.0, 1e-4, 1e-2
    return config


def cases(add, variant: str) -> None:
    add(label="plain", encoding="identity", network="relu", init="torch", published=17.448)
    add(
        label="positional L=10",
        encoding="dyadic",
        octaves=10,
        network="relu",
        init="torch",
        published=24.74,
    )
    add(label="SIREN", encoding="identity", network="siren", init="siren")
    for length in (256, 512, 1024):
        published = {"published": 31.96} if length == 1024 else {}
        add(
            label=f"octaves, B length {length}",
            encoding="octaves",
            frequencies=length,
            network="relu",
            init="torch",
            **published,
        )
