"""The pages of the site that are kept elsewhere: the fields in the code, the studies in their own README."""

import dataclasses
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from inr_jax.settings import GROUPS, LARGEST

ROOT = Path(__file__).parent.parent
TITLES = {
    "data": ("What is fitted", ""),
    "design": ("Design: one compilation for each", "design."),
    "hyper": ("Hyper: numbers inside one program", "hyper."),
    "run": ("How it is carried out", "run."),
}
INTRODUCTION = """# Every field

Set one with `--config.FIELD=VALUE`, sweep one with `--config.axes.NAME=1,2,4` (its name without the prefix); all but
`run.*` can be swept. A function of your own (`module:function`) brings its keyword-only parameters as further fields.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them."""
    files.append(File.generated(config, "fields.md", content=fields()))
    found = (ROOT / "experiments" / "README.md").read_text().replace("](../docs/", "](")
    # Files of the tree are no pages.
    found = re.sub(r"\[([^]]*)\]\((?:\.\./|configs)[^)]*\)", r"\1", found)
    files.append(File.generated(config, "studies.md", content=found))
    return files


def fields() -> str:
    """Every field with its default, unit, range and meaning."""
    parts = [INTRODUCTION]
    for group, (title, prefix) in TITLES.items():
        parts.append(f"\n## {title}\n\n| field | default | allowed | meaning |\n|---|---|---|---|")
        for field in dataclasses.fields(GROUPS[group]):
            if field.name != "own":
                meta = field.metadata
                default = f"`{field.default}`" if field.default != "" else ""
                meaning = meta["help"] + (f" ({meta['unit']})" if meta["unit"] else "")
                cells = [f"`{prefix}{field.name}`", default, allowed(meta), meaning]
                parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts)


def allowed(meta: dict) -> str:
    """The values that a field takes, as far as they are not all of its type."""
    if meta["choices"]:
        return ", ".join(f"`{choice}`" for choice in meta["choices"]) + (", `module:function`" if meta["open"] else "")
    bounds = {"low": "at least", "above": "above", "high": "at most"}
    known = {name: meta[name] for name in bounds if meta[name] not in (None, LARGEST)}
    return ", ".join(f"{bounds[name]} {bound:g}" for name, bound in known.items())
