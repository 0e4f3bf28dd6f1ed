"""Where files lie, a folder or an object store: written whole or not at all, and owned by one process at a time.

An object store goes by its URL, `s3://bucket/run` or `gs://bucket/run`, through fsspec. Its paths are those of
universal_pathlib, which do what pathlib's do.

In a folder the owner of something has the operating system's lock, which frees itself when its holder dies. An object
store has no locks: there it is a lease, an object that only one process can create and that its holder keeps renewing.
A lease that is not renewed is taken over. Its holder may have slept, and then two do the same work: they write the same
bits to the same place, so a lease saves work, and nothing depends on it.
"""

import contextlib
import fcntl
import io
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inr_jax.settings import Refused, library

if TYPE_CHECKING:
    Place = Path
else:
    Place = Any  # a Path, or a UPath, which may not be installed: of it, what it has in common with a Path is used

# A lease is renewed every so many seconds, and taken over when nobody has seen it renewed for so many.
RENEWED, EXPIRED = 10.0, 60.0


def place(where: str | Place) -> Place:
    """The folder of that name, or the part of an object store of that URL, which is treated as one.

    Raises Refused where what reads such a URL is not installed, or the store is not there.
    """
    if "://" not in str(where):
        return Path(where)
    try:
        # Other processes write there: what was listed a moment ago says nothing.
        path = library("upath", "cloud").UPath(where, use_listings_cache=False)
        path.exists()
    except Refused:
        raise
    except Exception as error:  # each protocol has its own
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"{where} cannot be reached: {type(error).__name__}: {reason}") from None
    return path


def is_local(path: Place) -> bool:
    """Whether it is a file, not an object."""
    return isinstance(path, Path)


def read(path: Place) -> bytes:
    """All of the file or object, as it is at one moment. Raises FileNotFoundError."""
    return path.read_bytes() if is_local(path) else _store(path).cat_file(_name(path))


def opened(path: Place) -> Any:
    """The file or object, open to be read."""
    return open(path, "rb") if is_local(path) else path.open("rb")


def seekable(path: Place) -> Place | io.BytesIO:
    """What a library reads that knows files but no object stores."""
    return path if is_local(path) else io.BytesIO(read(path))


def identity(path: Place) -> tuple:
    """What differs when the contents do. Raises FileNotFoundError."""
    if is_local(path):
        stat = path.stat()
        return path, stat.st_mtime_ns, stat.st_size
    told = _store(path).info(_name(path))
    return path, *(str(told.get(name)) for name in ("ETag", "etag", "mtime", "created", "LastModified", "size"))


def move(path: Place, to: Place) -> None:
    """Give it another name, in the place of what had it."""
    if is_local(path):
        os.replace(path, to)
    else:
        _store(path).mv(_name(path), _name(to))


def write(path: Place, data: bytes) -> None:
    """Put the data at the path, whole or not at all: an object by one request, a file beside it, synced, and renamed.

    Raises OSError that says how many bytes were needed where it cannot; what was there before stays as it is.
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
def owned(path: Place, wait: float = 0.0) -> Iterator[None]:
    """Own what the path names while the block runs; somebody else's ownership is waited for so many seconds.

    Raises BlockingIOError that names the owner if it is still somebody else's. That of a process that has died is
    nobody's: at once in a folder, in an object store when its lease has expired.
    """
    lock = path.with_name(f".{path.name}.lock")
    me = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with _locked(path, lock, me, wait) if is_local(path) else _leased(path, lock, me, wait):
        yield


@contextlib.contextmanager
def _locked(path: Place, lock: Place, me: str, wait: float) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait
    while (file := _lock(lock)) is None:
        if time.monotonic() >= until:
            holder = ""
            with contextlib.suppress(OSError):  # it may be gone by now
                holder = lock.read_text().strip()
            raise BlockingIOError(f"{path} is in use by {holder or 'another process'}")
        time.sleep(0.05)
    with file:
        file.truncate(0)
        file.write(me)
        file.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock(lock: Place) -> IO[str] | None:
    """The lock's file, locked; None if somebody else holds it."""
    while True:
        file = open(lock, "a+")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed it between our opening and our locking: then nobody else would see it.
            if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                return file
        except FileNotFoundError:
            pass
        except OSError:
            file.close()
            return None
        file.close()


@contextlib.contextmanager
def _leased(path: Place, lock: Place, me: str, wait: float) -> Iterator[None]:
    store, name = _store(lock), _name(lock)
    until = time.monotonic() + wait
    seen, since = b"", time.monotonic()
    while not _created(lock, f"{me}\n0"):
        with contextlib.suppress(FileNotFoundError):
            now, before = store.cat_file(name), seen
            if now != before:
                seen, since = now, time.monotonic()
            holder = now.decode().partition("\n")[0]
            # One that was renewed while we looked has a holder; of the first look nobody can tell.
            if before and now != before and time.monotonic() >= until:
                raise BlockingIOError(f"{path} is in use by {holder}")
            if time.monotonic() - since > EXPIRED or _has_died(holder):
                store.rm_file(name)
                continue
        time.sleep(min(0.5, RENEWED / 4))
    ended = threading.Event()
    renewing = threading.Thread(target=_renewed, args=(store, name, me, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with contextlib.suppress(FileNotFoundError):
            store.rm_file(name)


def _created(lock: Place, text: str) -> bool:
    try:
        _store(lock).pipe_file(_name(lock), text.encode(), mode="create")
    except FileExistsError:
        return False
    except Exception as error:
        if "ConditionalRequestConflict" in str(error):  # somebody else does so at this moment
            return False
        raise OSError(f"{lock}: {error}") from error
    return True


def _renewed(store: Any, name: str, me: str, ended: threading.Event) -> None:
    count = 0
    while not ended.wait(RENEWED):
        count += 1
        # A renewal that fails is followed by another; a lease that expires meanwhile costs work, not results.
        with contextlib.suppress(Exception):
            store.pipe_file(name, f"{me}\n{count}".encode())


def _has_died(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    words = holder.split()
    if len(words) < 4 or words[3] != socket.gethostname():
        return False
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _store(path: Any) -> Any:
    return path.fs


def _name(path: Any) -> str:
    return path.path
