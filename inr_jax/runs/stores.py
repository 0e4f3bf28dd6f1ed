"""Folders and object stores: files are written whole or not at all, and in a folder owned by one process at a time.

An object store is given by its URL, `s3://bucket/run` or `gs://bucket/run`, through fsspec. Its paths are those of
universal_pathlib, which have pathlib's methods. It has no locks, and needs none: the shards of a run are disjoint, and
two processes given the same members write the same bits to the same objects.
"""

import contextlib
import fcntl
import io
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inr_jax.settings import Refused, library

if TYPE_CHECKING:
    Place = Path
else:
    Place = Any  # a Path, or a UPath, which may not be installed: of it, what it has in common with a Path is used


def locate(where: str | Place) -> Place:
    """Return the folder of that name, or the part of an object store of that URL, which is treated as one.

    Raises Refused where the library for such a URL is not installed, or the store cannot be reached.
    """
    if "://" not in str(where):
        return Path(where)
    try:
        # Other processes write there: a cached listing would be out of date.
        path = library("upath", "cloud").UPath(where, use_listings_cache=False)
        path.exists()
    except Refused:
        raise
    except Exception as error:  # each protocol has its own
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"{where} cannot be reached: {type(error).__name__}: {reason}") from None
    return path


def is_local(path: Place) -> bool:
    """Return whether it is a file, not an object."""
    return isinstance(path, Path)


def read(path: Place) -> bytes:
    """Read all of a file or object, as it is at one moment. Raises FileNotFoundError."""
    return path.read_bytes() if is_local(path) else _store(path).cat_file(_name(path))


def open_file(path: Place) -> Any:
    """Open a file or object to be read."""
    return open(path, "rb") if is_local(path) else path.open("rb")


def as_file(path: Place) -> Place | io.BytesIO:
    """Return it for a library that reads files but no object stores."""
    return path if is_local(path) else io.BytesIO(read(path))


def revision(path: Place) -> tuple:
    """Return a value that differs when the contents do. Raises FileNotFoundError."""
    if is_local(path):
        stat = path.stat()
        return path, stat.st_mtime_ns, stat.st_size
    info = _store(path).info(_name(path))
    return path, *(str(info.get(name)) for name in ("ETag", "etag", "mtime", "created", "LastModified", "size"))


def move(path: Place, to: Place) -> None:
    """Rename a file or object; one of the new name is replaced."""
    if is_local(path):
        os.replace(path, to)
    else:
        _store(path).mv(_name(path), _name(to))


def write(path: Place, data: bytes) -> None:
    """Write the data whole or not at all: an object by one request, a file beside the old one, synced and renamed.

    Raises OSError with the bytes that were needed where it fails; the old contents stay as they were.
    """
    if not is_local(path):
        try:
            _store(path).pipe_file(_name(path), data)
        except Exception as error:  # each protocol has its own
            raise OSError(f"{path}: {error}") from error
        return
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        free = "unknown"
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
            free = f"{shutil.disk_usage(path.parent).free:,}"
        raise OSError(f"{path}: {error.strerror}: {len(data):,} bytes needed, {free} free") from None


@contextlib.contextmanager
def lock(path: Place, wait: float = 0.0) -> Iterator[None]:
    """Lock a part of a folder during the block; the operating system frees the lock of a process that dies.

    Another process's lock is waited for, for so many seconds. Raises BlockingIOError that names its holder if it is
    still locked then. In an object store nothing is locked.
    """
    if not is_local(path):
        yield
        return
    file_name = path.with_name(f".{path.name}.lock")
    file_name.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait
    while (file := _try_lock(file_name)) is None:
        if time.monotonic() >= until:
            holder = ""
            with contextlib.suppress(OSError):  # it may be gone by now
                holder = file_name.read_text().strip()
            raise BlockingIOError(f"{path} is in use by {holder or 'another process'}")
        time.sleep(0.05)
    with file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        try:
            yield
        finally:
            file_name.unlink(missing_ok=True)


def _try_lock(name: Place) -> IO[str] | None:
    """The lock's file, locked; None if another process holds it."""
    while True:
        file = open(name, "a+")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed it between our opening and our locking: then nobody else would see it.
            if os.path.samestat(os.fstat(file.fileno()), os.stat(name)):
                return file
        except FileNotFoundError:
            pass
        except OSError:
            file.close()
            return None
        file.close()


def _store(path: Any) -> Any:
    return path.fs


def _name(path: Any) -> str:
    return path.path
