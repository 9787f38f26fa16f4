"""Files at an address: a path, or a URL that fsspec opens (s3://, https://, ...). Whole reads, or none.

Errors name an address without its credentials: no user, password, or signature in a query is ever printed.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import fsspec

from mvg._atomic import atomic_file, unwritable
from mvg.errors import FileError, first_line

Address = Path | str
"""A path, or a URL with "://"."""
_ATTEMPTS, _PAUSE = 4, 0.5  # seconds before the second attempt; then twice as long each time
_IDENTIFYING = ("size", "ETag", "etag", "LastModified", "mtime", "created")
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, ValueError)
_Result = TypeVar("_Result")


def is_url(address: Address) -> bool:
    """Whether an address is a URL; other addresses are paths of this machine."""
    return "://" in str(address)


def address_of(text: Address) -> Address:
    """The address that a user wrote: a URL as it is, anything else as an absolute path."""
    return str(text).rstrip("/") if is_url(text) else Path(text).resolve()


def join(folder: Address, *names: str) -> Address:
    """The address of a file below a folder."""
    if not is_url(folder):
        return Path(folder).joinpath(*names)
    scheme, host, path, query, _ = urlsplit(str(folder))
    return f"{scheme}://{host}{'/'.join((path.rstrip('/'), *names))}{'?' if query else ''}{query}"


def public(address: Address) -> str:
    """An address for messages and manifests: a URL without user, password and query."""
    if not is_url(address):
        return str(address)
    scheme, host, path, _, _ = urlsplit(str(address))
    return f"{scheme}://{host.rpartition('@')[2]}{path}"


def read_bytes(address: Address) -> bytes:
    """The whole content of a file. Raises FileError; a failed transfer is tried again first."""
    return _with_retries(address, lambda system, path: bytes(system.cat_file(path)))


def fetch(address: Address, folder: Path) -> Path:
    """Copy a file into a new folder of this machine, under its own name. Raises FileError."""
    content = read_bytes(address)
    path = folder / name_in(address)
    try:
        folder.mkdir()
        path.write_bytes(content)
    except OSError as error:
        raise FileError(
            f"'{public(address)}' could not be kept in '{folder.parent}' ({error.strerror or error})",
            "a folder for temporary files with space left",
            "free space, or name another folder in the environment variable TMPDIR",
        ) from None  # the chain would print the address with its credentials
    return path


def read_range(address: Address, start: int, stop: int) -> bytes:
    """The bytes `start` to `stop` of a file; fewer where it ends before. Raises FileError, as `read_bytes` does."""
    return _with_retries(address, lambda system, path: bytes(system.cat_file(path, start=start, end=stop)))


def identity(address: Address) -> str:
    """What says whether a file at a URL is still the same: its size and its tag or time, or where the system has none
    of these, as some web servers, its content. Raises FileError.
    """
    known = _with_retries(address, lambda system, path: dict(system.info(path)))
    facts = {name: str(known[name]) for name in _IDENTIFYING if known.get(name) is not None}
    if not facts.keys() - {"size"}:
        facts["content"] = hashlib.sha256(read_bytes(address)).hexdigest()
    return hashlib.sha256(json.dumps([public(address), facts], sort_keys=True).encode()).hexdigest()


def name_in(address: Address) -> str:
    """The name of the file at an address, without the folder, and of a URL without its query."""
    if not is_url(address):
        return Path(address).name
    parts = urlsplit(str(address))
    return Path(parts.path).name or parts.netloc.rpartition("@")[2]  # memory://name has no path


def write_bytes(address: Address, content: bytes) -> None:
    """Write a file whole or not at all. Raises FileError."""
    if is_url(address):
        _with_retries(address, lambda system, path: system.pipe_file(path, content))
        return
    path = Path(address)
    with atomic_file(path, lambda error: unwritable(path, error)) as temporary:
        temporary.write_bytes(content)


def subfolders_with(folder: Address, name: str) -> list[Address]:
    """The folders directly below `folder` that hold a file of this name, in alphabetical order. Raises FileError."""
    if not is_url(folder):
        return sorted(path.parent for path in Path(folder).glob(f"*/{name}"))

    def listed(system: Any, path: str) -> list[str]:
        entries = (str(entry).rstrip("/") for entry in system.ls(path, detail=False))
        return sorted({entry.rpartition("/")[2] for entry in entries if system.exists(f"{entry}/{name}")})

    return [join(folder, child) for child in _with_retries(folder, listed)]


def _with_retries(address: Address, action: Callable[[Any, str], _Result]) -> _Result:
    for attempt in range(_ATTEMPTS):
        try:
            # Looked up each time: fsspec keeps one instance per process, and a process that was forked needs its own.
            system, path = fsspec.core.url_to_fs(str(address))
            return action(system, path)
        except Exception as error:
            if isinstance(error, _FINAL) or attempt == _ATTEMPTS - 1:
                raise _error(address, error) from None  # the chain would print the address with its credentials
        time.sleep(_PAUSE * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _error(address: Address, error: Exception) -> FileError:
    if isinstance(error, ImportError | ValueError) and is_url(address):
        scheme = urlsplit(str(address)).scheme
        return FileError(
            f"no package here opens '{scheme}://'", "one that does", "install it: s3fs for s3://, aiohttp for https://"
        )
    reasons: dict[type[Exception], str] = {
        FileNotFoundError: "there is no such file",
        PermissionError: "access is denied",
    }
    reason = reasons.get(type(error)) or f"{type(error).__name__}: {_without_secrets(address, first_line(error))}"
    return FileError(
        f"'{public(address)}' cannot be used ({reason})", "an address that these credentials may use", "check both"
    )


def _without_secrets(address: Address, text: str) -> str:
    """Another library's message without what must not be printed of this address."""
    if not is_url(address):
        return text
    parts = urlsplit(str(address))
    text = text.replace(str(address), public(address))
    values = [value for _, value in parse_qsl(parts.query)]
    for secret in (parts.query, *values, parts.netloc.rpartition("@")[0], parts.password, parts.username):
        text = text.replace(secret, "...") if secret else text
    return text
