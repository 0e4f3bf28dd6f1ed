"""Execute the notebooks and write what their cells give, small: python -m tests.slow.notebooks  (make notebooks)

The .py of each pair is what is edited; pictures are cut to 256 colours, and times and versions left out.
"""

import base64
import io
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image


def main() -> None:
    """Execute those whose names are given, or all."""
    for path in sorted(Path("notebooks").glob("*.py")):
        if len(sys.argv) > 1 and path.stem not in sys.argv[1:]:
            continue
        notebook = jupytext.read(path)
        NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=".")
        notebook.metadata.pop("widgets", None)
        notebook.metadata.pop("language_info", None)
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
            cell.metadata.pop("execution", None)
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "image/png" in data:
                    data["image/png"] = smaller(data["image/png"])
        nbformat.write(notebook, path.with_suffix(".ipynb"))
        print(f"{path.with_suffix('.ipynb')}: {path.with_suffix('.ipynb').stat().st_size / 1024:.0f} KiB")


def smaller(png: str) -> str:
    """The picture in 256 colours."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main()
