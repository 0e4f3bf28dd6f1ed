"""Settings that have values: what the functions that are chosen read, and nothing else."""

from typing import Any, ClassVar

from inr_jax.settings import Refused, catalogue, nearest, settle


class Settings(dict[str, Any]):
    """Settings by name, which are attributes too: not to be changed, and hashable where the values are."""

    def __getattr__(self, name: str) -> Any:
        """The value of a setting. Raises AttributeError with the names that there are."""
        if name.startswith("_") or name not in self:
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}; it has {', '.join(self)}")
        return self[name]

    def _immutable(self, *_: Any, **__: Any) -> Any:
        """Raises AttributeError: what changes a dictionary in place changes no settings."""
        raise AttributeError(f"{type(self).__name__} is immutable; replace(NAME=VALUE) returns another")

    __setattr__ = __setitem__ = __delitem__ = __ior__ = _immutable  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _immutable  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Whether type and settings are the same."""
        return type(self) is type(other) and dict.__eq__(self, other)  # type: ignore[arg-type]

    def __hash__(self) -> int:  # type: ignore[override]
        """A hash of type and settings."""
        return hash((type(self), frozenset(self.items())))

    def __repr__(self) -> str:
        """The call that makes it."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __reduce__(self) -> tuple:
        """How another process makes it."""
        return _make, (type(self), dict(self))


class Checked(Settings):
    """The settings that a root's functions read, converted and checked, "auto" resolved, and no others."""

    _given: dict[str, Any]
    root: ClassVar[Any]
    traced: ClassVar[bool] = True

    def __init__(self, **given: Any) -> None:
        """The given settings, all others at their defaults; those that the chosen functions do not read are dropped.

        Raises Refused for a name that is not known, or a value that is not allowed.
        """
        reads, values = settle(self.root, given)
        known = {**catalogue(self.root), **reads}
        for name, value in given.items():
            if name not in known:
                raise Refused(f"setting {name!r} is not known; {nearest(name, known)}")
            if not self.traced and known[name].traced:
                raise Refused(f"{name}={value!r} is traced, not part of a design; expected hypers({name}=...)")
            if name not in reads and value is not None:
                known[name].convert(value)
        super().__init__({n: value for n, value in values.items() if self.traced or not reads[n].traced})
        object.__setattr__(self, "_given", given)

    def replace(self, **changes: Any) -> Any:
        """The same with other values of some settings."""
        return type(self)(**{**self._given, **changes})

    def __reduce__(self) -> tuple:
        """How another process makes it."""
        return _make, (type(self), self._given)


def _make(kind: type, given: dict[str, Any]) -> Any:
    return kind(**given)
