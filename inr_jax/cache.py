"""The user's cache folder of the package."""

import os
from pathlib import Path


def folder() -> Path:
    """Where compiled programs and what was measured of this machine are kept; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inr_jax"
