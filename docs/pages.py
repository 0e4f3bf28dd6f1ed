"""Generate pages: fields from the code, also those of `Design` and `Hyper`; studies from experiments/README.md."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from inr_jax.cli.listing import Row, listed
from inr_jax.settings import AUTO, LARGEST, Setting

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
INTRODUCTION = """# Every field

Set one with `--config.FIELD=VALUE`, sweep one with `--config.axes.NAME=1,2,4` (its name without the prefix); all but
`run.*` can be swept. Fields are grouped by what reads them. A custom function (`module:function`) declares more.
"""


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the generated pages."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "fields.md", content=fields()))
    found = (ROOT / "experiments" / "README.md").read_text().replace("](../docs/", "](")
    # Links to files that are not pages become plain text.
    found = re.sub(r"\[([^]]*)\]\((?:\.\./|configs)[^)]*\)", r"\1", found)
    files.append(File.generated(config, "studies.md", content=found))
    return files


def fields() -> str:
    """Return a table of every field with its default, range, meaning and unit."""
    parts = [INTRODUCTION]
    for title, rows in listed().items():
        parts += [f"\n## {title.capitalize()}\n", table(rows)]
    return "\n".join(parts)


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Replace `FIELDS: design` and `FIELDS: hyper` in a page by tables of the fields with that prefix."""
    return re.sub(r"^FIELDS: (\w+)$", lambda found: fields_of(found[1]), markdown, flags=re.M)


def fields_of(prefix: str) -> str:
    """Return a table of the fields with a prefix, under their names in Python."""
    every = [row for rows in listed().values() for row in rows]
    own = [row._replace(name=row.setting.name) for row in every if row.name == f"{prefix}.{row.setting.name}"]
    return table(own)


def table(rows: Iterable[Row]) -> str:
    """Return a table of fields."""
    lines = ["| field | default | meaning | allowed |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def cells(row: Row) -> list[str]:
    """Return a field's name, default, meaning with the functions that read it, and allowed values."""
    name, setting, readers = row
    about = setting.about
    meaning = about.meaning + (f" ({about.unit})" if about.unit else "")
    meaning += f"; read by {', '.join(readers)}" if readers else ""
    return [f"`{name}`", f"`{setting.default}`" if setting.default != "" else "", meaning, allowed(setting)]


def allowed(setting: Setting) -> str:
    """Return the values that a field accepts, or nothing if it accepts all values of its type."""
    about = setting.about
    if about.choices and setting.name != "image":
        custom = ["module:function"] if setting.registry is not None and setting.registry.custom else []
        automatic = [AUTO] if setting.default == AUTO else []
        return ", ".join(f"`{choice}`" for choice in dict.fromkeys([*automatic, *about.choices, *custom]))
    high = None if about.high == LARGEST else about.high
    bounds = {"at least": about.low, "above": about.above, "at most": high}
    return ", ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
