"""Who imports whom: rooms only from rooms above them, without circles; libraries where they belong, and when needed."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import inr_jax

# Each imports from itself and from those before it. Modules outside of folders (settings) stand before all.
ROOMS = ("", "fit", "tasks", "data", "sweep", "kernel", "report", "runs", "cli")
# The only modules of the package that import these.
HOMES = {
    "flax": "inr_jax.fit.networks",
    "optax": "inr_jax.fit.optimizers",
    "optuna": "inr_jax.sweep.optuna",
    "ml_collections": "inr_jax.cli.config",
    "absl": "inr_jax.cli.config",
}
# What takes long to import, and neither a fit nor an answer about the command line needs.
SLOW = ("xarray", "pandas", "matplotlib", "skimage", "scipy", "PIL", "tifffile", "imageio", "h5netcdf", "h5py", "tqdm")


def modules() -> dict[str, ast.Module]:
    """Every module of the package by name, parsed; the package itself, which only names others, is not one of them."""
    paths = [path for path in Path("inr_jax").rglob("*.py") if path != Path("inr_jax/__init__.py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: ast.parse(path.read_text()) for name, path in names.items()}


def imports(tree: ast.AST, known: dict[str, ast.Module]) -> Iterator[str]:
    """The modules that a tree imports, inside of functions and for types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, "imports are absolute"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in inner)


MODULES = modules()
GRAPH = {name: set(imports(tree, MODULES)) for name, tree in MODULES.items()}


def room(name: str) -> int:
    """The place of a module's room among all."""
    first = name.split(".")[1:2]
    return ROOMS.index(first[0]) if first and first[0] in ROOMS else 0


def test_every_folder_imports_only_from_folders_above_it():
    found = {(name, other) for name, others in GRAPH.items() for other in others if other in MODULES}
    assert not {(name, other) for name, other in found if room(other) > room(name)}


def test_no_module_imports_itself_by_way_of_others():
    inner = {name: {other for other in others if other in MODULES} for name, others in GRAPH.items()}
    graphlib.TopologicalSorter(inner).prepare()


def test_the_package_imports_neither_its_public_face_nor_its_commands():
    for name, others in GRAPH.items():
        assert not {other for other in others if other.split(".")[0] == "experiments" or other == "inr_jax"}, name


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_by_one_module_alone(library):
    assert {name for name, others in GRAPH.items() if library in {o.split(".")[0] for o in others}} == {HOMES[library]}


def test_type_checkers_and_python_see_the_same_public_names():
    tree = ast.parse(Path("inr_jax/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert seen | {"__version__"} == set(dir(inr_jax))
    for name in seen:
        assert getattr(inr_jax, name) is not None
    for node in block.body:
        for alias in node.names:
            public = alias.asname or alias.name
            home = inr_jax.MODULES.get(public) or inr_jax.NAMES[public]
            written = f"{node.module}.{alias.name}" if public in inr_jax.MODULES else node.module
            assert written == f"inr_jax.{home}"


def imported_after(code: str) -> str:
    """The slow libraries that a process of its own has imported after the code, as it prints them."""
    code += f"\nprint('imported:', *[name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_importing_and_fitting_imports_nothing_slow():
    fits = "fit_many(inr.Design(steps=2, width=4, depth=1, frequencies=2), inr.hypers(scale=[1, 2]), task)"
    task = "inr.tasks.split(inr.images.load('synthetic:natural_noise', 16))"
    assert imported_after(f"import sys; import inr_jax as inr; task = {task}; inr.{fits}") == "imported:"


def test_help_and_lists_import_nothing_slow():
    commands = ("sweep", "render", "report", "export", "predict")
    code = f"import sys; from experiments import {', '.join(commands)}; from inr_jax.cli.arguments import exit_status\n"
    code += "".join(f"assert exit_status({command}.main, ['--help']) == 0\n" for command in commands)
    assert imported_after(code + "assert exit_status(sweep.main, ['--list']) == 0") == "imported:"


def test_a_sweep_imports_what_its_report_needs_only_after_the_last_step(tmp_path):
    code = f"""
import sys
from experiments import sweep
from inr_jax.sweep import ensemble

class Stepped(Exception): pass

def stop(*_):
    raise Stepped

ensemble._segment = stop
small = "--config.image=synthetic:wave --config.size=8 --config.design.width=4 --config.design.frequencies=2"
try:
    sweep.main(["--config=scale:quick", *small.split(), "--out={tmp_path}/run"])
except Stepped:
    print("stepped")
"""
    assert imported_after(code) == "imported: tqdm"  # the progress
