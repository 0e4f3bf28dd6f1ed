"""What the commands share: their arguments, and how they end. Wrong requests: one line on stderr, exit status 2."""

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from inr_jax.runs import environment as machine
from inr_jax.runs import signals
from inr_jax.runs.engines import Shard
from inr_jax.settings import Refused, nearest


class Arguments(NamedTuple):
    """The arguments of a command: named ones by name, `--config.FIELD=VALUE` in order, and the rest."""

    named: dict[str, Any]
    overrides: list[tuple[str, str]]
    positional: list[str]

    def __getattr__(self, name: str) -> Any:
        """A named argument; empty if it was not given."""
        return self.named[name]

    def required(self, name: str, usage: str) -> str:
        """A named argument that must be there."""
        if not self.named[name]:
            raise Refused(f"--{name} is missing; usage: {usage}")
        return self.named[name]


def parsed(argv: Sequence[str], options: Sequence[str], switches: Sequence[str], positional: int = 0) -> Arguments:
    """The arguments as `--name=value`, `--name value`, `--switch`; raises Refused for one that is not known."""
    found = Arguments(dict.fromkeys(options, "") | dict.fromkeys(switches, False), [], [])
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        name, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--"):
            if len(found.positional) == positional:
                raise Refused(f"{token!r} is not expected; {nearest('--' + token, _flags(options, switches))}")
            found.positional.append(token)
        elif name in switches and not equals:
            found.named[name] = True
        elif name in options or (name.startswith("config.") and "config" in options):
            if not equals:
                if not tokens or tokens[0].startswith("--"):
                    raise Refused(f"{token} needs a value: {token}=...")
                value = tokens.pop(0)
            if name in options:
                found.named[name] = value
            else:
                found.overrides.append((name.removeprefix("config."), value))
        else:
            raise Refused(f"{token} is not known; {nearest('--' + name, _flags(options, switches))}")
    return found


def number(name: str, text: str, kind: type = float) -> Any:
    """The value of a named argument: above 0 and finite, and whole where the kind is `int`. Raises Refused.

    >>> number("repeats", "5", int)
    5
    """
    try:
        value = kind(text)
    except ValueError:
        raise Refused(f"--{name}={text} is not a {'whole ' if kind is int else ''}number") from None
    if not 0 < value < float("inf"):
        raise Refused(f"--{name}={text} is out of range: it must be above 0")
    return value


def shard(text: str) -> Shard:
    """The share that --shard=I/N names; none, all of it. Raises Refused.

    >>> shard("2/8")
    Shard(number=2, of=8)
    """
    if not text:
        return Shard()
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise Refused(f"--shard={text} is not I/N, e.g. 0/4")
    if not int(number) < int(of):
        last = f"{max(int(of), 1) - 1}/{max(int(of), 1)}"
        raise Refused(f"--shard={text} is out of range: I is counted from 0; did you mean {last}?")
    return Shard(int(number), int(of))


def row(text: str) -> int:
    """The row of results.csv that --member names. Raises Refused."""
    if not text.isdecimal():
        raise Refused(f"--member={text} is not a row of results.csv: 0, 1, ...")
    return int(text)


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Be the process of a command: on every core, with programs kept, its status at the end."""
    machine.use_every_core()
    machine.keep_programs()
    sys.exit(told(main, sys.argv[1:]))


def console(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Be an installed command: with modules of one's own beside it, as `python -m` has them."""
    sys.path.insert(0, "")
    run(main)


def told(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Run a command and turn how it ended into an exit status, with one line on stderr where it is not 0."""
    try:
        with signals.handled():
            return main(argv)
    except Refused as refused:
        return _said(refused, 2)
    except (OSError, MemoryError) as error:
        return _said(error, 1)
    except (signals.Stopped, Exception):
        if not signals.asked():
            raise
        # That it was another exception is nothing: compiled code between here and the handler may make one of ours.
        spec = sys.modules["__main__"].__spec__ if main.__module__ == "__main__" else None
        command = shlex.join(["python", "-m", spec.name if spec else main.__module__, *argv])
        print(f"stopped; what is finished is kept. To go on: {command}", file=sys.stderr)
        return 128 + signals.asked()


def _said(error: Exception, status: int) -> int:
    print("error: " + " ".join(str(error).split("\n")), file=sys.stderr)
    return status


def _flags(options: Sequence[str], switches: Sequence[str]) -> list[str]:
    return [f"--{name}" for name in (*options, *(["config.FIELD"] if "config" in options else []), *switches)]
