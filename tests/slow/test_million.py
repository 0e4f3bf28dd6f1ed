"""Many members that nobody fitted, in short: they are found, gone on with and reported."""

import re
import subprocess
import sys


def test_a_run_of_a_thousand_invented_members_is_gone_on_with_and_reported():
    command = [sys.executable, "-m", "tests.slow.million", "--members=1000"]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said
    assert said.stdout.startswith("1,000 members in 15 files")
    for what in ("found, gone on with, reported", "asked for again", "reported again"):
        assert re.search(rf"{what}: \d+ s, 0\.\d\d GiB", said.stdout), said
    assert said.stderr == ""
