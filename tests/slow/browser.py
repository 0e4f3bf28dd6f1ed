"""A headless Chromium: what a script in a page finds, and what the page looks like."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def needed(test: Callable) -> Callable:
    """Mark a test that needs a browser: slow, and skipped where there is none."""
    return pytest.mark.slow(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")(test))


def opened(page: Path, *flags: str) -> subprocess.CompletedProcess:
    """The page in a browser of its own, without a network."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}", *flags]
    command = [CHROMIUM, *options, f"file://{page}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def found(page: Path, script: str, *flags: str, width: int = 0) -> Any:
    """What a script finds that runs when the page is loaded; it is the body of a function.

    With a width the page is in a frame that wide: Chromium's window is no narrower than 500 pixels.
    """
    answer = f"parent.document.body.dataset.found = JSON.stringify((() => {{ {script} }})());"
    copy = page.with_name("asked.html")
    ending = f'<script>addEventListener("load", () => {{ {answer} }});</script></body>'
    text = page.read_text().replace("</body>", ending)
    if width:
        text = (
            f'<body><iframe style="border: 0; width: {width}px; height: 844px" srcdoc="{escape(text)}"></iframe></body>'
        )
    copy.write_text(text)
    done = opened(copy, "--virtual-time-budget=5000", "--dump-dom", *flags)
    text = re.search(r'data-found="(.*?)"', done.stdout, re.S)
    assert text, done.stderr
    return json.loads(unescape(text[1]))


def drawn(page: Path, picture: Path, size: str, *flags: str) -> None:
    """Write what the page looks like in a window of this size."""
    opened(page, "--hide-scrollbars", f"--window-size={size}", f"--screenshot={picture}", *flags)
