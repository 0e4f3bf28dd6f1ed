"""The command line: what the commands share of their arguments, and how they end.

An invalid request ends with one line on stderr and exit status 2.
"""

import argparse
import contextlib
import os
import re
import select
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from inr_jax.runs import environment, signals
from inr_jax.settings import Refused, check_text, nearest

FIELD = "--config.FIELD"
# The status of a program whose reader has gone, as of one that SIGPIPE ends.
CLOSED = 128 + 13


class Command(argparse.ArgumentParser):
    """The arguments of a command, `--name=value` or `--name value`. Every error is Refused, in one line."""

    def __init__(self, module: str, about: str, listing: str = "") -> None:
        """Describe the command of this module; `--help` prints `about`, the options and the `listing`."""
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(shlex.join(typed(module)), None, about, listing, formatter_class=formatter, allow_abbrev=False)

    def add_study(self) -> None:
        """Add `--config`, which names a study, and the fields that it sets and sweeps."""
        self.add_argument("--config", metavar="STUDY", required=True, help="study file or name, PATH[:VARIANT]")
        self.add_fields("set a field of the study, as often as needed; --config.axes.NAME=1,2,4 sweeps one")

    def add_fields(self, sets: str) -> None:
        """Add `--config.FIELD`, whose values become pairs (FIELD, text)."""
        self.add_argument(FIELD, metavar="VALUE", dest="fields", default=[], help=sets)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the arguments by name, with the overrides of fields in order as `fields`. Raises Refused."""
        known, rest, fields, tokens = self._option_string_actions, [], [], iter(argv)
        for token in tokens:
            check_text(token, "")
            name, equals, value = token.partition("=")
            if name.startswith("--config.") and FIELD in known:
                value = value if equals else next(tokens, "--")
                if value.startswith("--") and not equals:
                    raise Refused(f"{token}: expected one argument")
                fields.append((name.removeprefix("--config."), value))
            elif name.startswith("--") and name not in known:
                raise Refused(f"{token} is not known; {nearest(name, known)}")
            else:
                rest.append(token)
        request = self.parse_args(rest)
        request.fields = fields
        return request

    def error(self, message: str) -> NoReturn:
        """Raise Refused with argparse's message; those of the types below begin with `=VALUE`."""
        message = re.sub(r"^argument (\S+): (?==)", r"\1", message).removeprefix("argument ")
        raise Refused(message)


class Print(argparse.Action):
    """An option that prints the text which the function `const` returns and ends the command, as `--help` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the text."""
        print(self.const())
        parser.exit()


def whole(low: int) -> Callable[[str], int]:
    """Make the type of an option that takes a whole number from `low` on."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"={text}: expected a whole number of at least {low}")
        return int(text)

    return convert


def positive(text: str) -> float:
    """Convert the text of an option that takes a finite number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"={text}: expected a finite number above 0")


def shard(text: str) -> tuple[int, int]:
    """Convert the text of `--shard=I/N` to which of how many shares.

    Examples:
        >>> shard("2/8")
        (2, 8)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"={text}: expected I/N with I from 0 to N - 1, e.g. 0/4")
    return int(index), int(count)


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Be the process of a command: on every core, with compiled programs cached; ends with its exit status."""
    environment.use_every_core()
    environment.cache_programs()
    sys.exit(exit_status(main, sys.argv[1:]))


def console(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Be an installed command, which imports from the working directory as `python -m` does."""
    sys.path.insert(0, "")
    run(main)


def typed(module: str) -> list[str]:
    """Return how the command of this module is typed: `inr-NAME` if this process is such a command."""
    installed = Path(sys.argv[0]).stem.startswith("inr-")
    return [f"inr-{module.rpartition('.')[2]}"] if installed else ["python", "-m", module]


def exit_status(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Run a command and return its exit status; unless it is 0, one line on stderr says why.

    There is none where the reader of stdout has closed it, as `head` does; the status is then `CLOSED`.
    """
    try:
        with signals.catch_signals():
            try:
                status = main(argv)
            except SystemExit as end:  # after --help
                status = int(end.code or 0)
            sys.stdout.flush()
            return status
    except (Refused, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and _is_closed(sys.stdout):
            return CLOSED
        print("error: " + " ".join(str(error).split("\n")), file=sys.stderr)
        return 2 if isinstance(error, Refused) else 1
    except (signals.Stopped, Exception):
        if not signals.received():
            if missing := environment.missing_backend():
                print(f"error: {missing}", file=sys.stderr)
                return 2
            raise
        # Any exception may follow from the signal: compiled code between here and the handler may replace ours.
        spec = sys.modules["__main__"].__spec__ if main.__module__ == "__main__" else None
        command = shlex.join([*typed(spec.name if spec else main.__module__), *argv])
        print(f"stopped; what is finished is kept. To go on: {command}", file=sys.stderr)
        return 128 + signals.received()


def _is_closed(stream: TextIO) -> bool:
    """Whether the stream is a pipe without a reader; what is left to write is then dropped, or the exit would fail."""
    errors = select.poll()
    errors.register(stream, 0)
    closed = bool(errors.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return closed
