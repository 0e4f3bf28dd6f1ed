"""The pages of the site that are kept elsewhere: the fields in the code, the studies and the notebooks in the tree."""

import dataclasses
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

from inr_jax.settings import GROUPS

ROOT = Path(__file__).parent.parent
TITLES = {
    "data": ("What is fitted", ""),
    "design": ("Design: one compilation for each", "design."),
    "hyper": ("Hyper: numbers inside one program", "hyper."),
    "run": ("How it is carried out", "run."),
}
INTRODUCTION = """# Every field

Set one with `--config.FIELD=VALUE`, sweep one with `--config.axes.NAME=1,2,4` (its name without the prefix); all but
`run.*` can be swept. A function of your own (`module:function`) brings its keyword parameters as further fields.
"""


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them."""
    files.append(File.generated(config, "fields.md", content=fields()))
    found = (ROOT / "experiments" / "README.md").read_text().replace("](../docs/", "](")
    # Files of the tree are no pages.
    found = re.sub(r"\[([^]]*)\]\((?:\.\./|configs)[^)]*\)", r"\1", found)
    files.append(File.generated(config, "studies.md", content=found))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files


def fields() -> str:
    """Every field with its default, unit, range and meaning."""
    parts = [INTRODUCTION]
    for group, (title, prefix) in TITLES.items():
        parts.append(f"\n## {title}\n\n| field | default | unit | allowed | meaning |\n|---|---|---|---|---|")
        for field in dataclasses.fields(GROUPS[group]):
            if field.name != "own":
                meta = field.metadata
                cells = [f"`{prefix}{field.name}`", f"`{field.default!r}`", meta["unit"], allowed(meta), meta["help"]]
                parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts)


def allowed(meta: dict) -> str:
    """The values that a field takes, as far as they are not all of its type."""
    if meta["choices"]:
        return ", ".join(f"`{choice}`" for choice in meta["choices"]) + (", `module:function`" if meta["open"] else "")
    bounds = {"low": "at least", "above": "above", "high": "at most"}
    return ", ".join(f"{word} {meta[name]:g}" for name, word in bounds.items() if meta[name] is not None)
