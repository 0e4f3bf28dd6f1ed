"""Study files: those that come along, and any by its path, as modules."""

import importlib.resources
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from inr_jax.settings import Refused, nearest


def studies() -> dict[str, Path]:
    """The studies that come along, by name."""
    folder = Path(str(importlib.resources.files("experiments"))) / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def about(path: str | Path) -> tuple[str, dict[str, str]]:
    """What a study asks, as one line, and its variants with a line each. Raises Refused where it is no study file."""
    module = load_module(str(path))
    return (module.__doc__ or "").strip().partition("\n")[0], dict(module.VARIANTS)


def load_module(path: str) -> ModuleType:
    """Load a study file, by its path or the name of one that comes along. Raises Refused where it is none."""
    if not Path(path).is_file():
        # Its own studies go by their name too, and where the package is installed also by their path in a checkout.
        known, kept = studies(), "experiments/configs/"
        name = path.removeprefix(kept).removesuffix(".py") if path.startswith(kept) else path
        if name not in known:
            there = [str(p) for p in Path(path).parent.glob("*.py")] if "/" in path else list(known)
            raise Refused(f"--config={path}: no such study file; {nearest(path, there or ['PATH/STUDY.py[:VARIANT]'])}")
        path = str(known[name])
    spec = importlib.util.spec_from_file_location(f"study_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise Refused(f"--config={path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Refused(f"--config={path}: {type(error).__name__}: {error}") from error
    for name in ("VARIANTS", "get_config"):
        if not hasattr(module, name):
            raise Refused(f"--config={path} defines no {name}: it is no study file")
    return module
