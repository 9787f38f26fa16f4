"""Weights outside of the package: passed on as one file, installed for this user, then used by their id.

A file is a ZIP archive of `ID/config.json`, `ID/model.safetensors` and `ID/card.md`, stored without compression.
"""

import re
import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path

from mvg._atomic import atomic_file, atomic_folder
from mvg.errors import WeightsError
from mvg.model.weights import (
    CARD,
    CONFIG,
    INSTALLED,
    TENSORS,
    WeightsInfo,
    check_replaceable,
    describe_weights,
    load_weights,
    shipped_ids,
    verify_weights,
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def pack_weights(name: str | Path, file: Path, weights_id: str = "") -> Path:
    """Write weights (an id or a folder) as one file that can be installed. Raises WeightsError.

    weights_id: the id under which they are installed; "": the one that they have.
    """
    info, file = verify_weights(name), Path(file)
    if weights_id and (not _ID.fullmatch(weights_id) or weights_id in shipped_ids()):
        raise WeightsError(
            f"the id '{weights_id}'",
            f"letters, digits, '-' and '_', other than {', '.join(shipped_ids())}, which ship with mvg",
            "choose another id",
        )
    with (
        atomic_file(file, partial(_unwritable, file)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for part in (CONFIG, TENSORS, CARD):
            if (info.folder / part).is_file():
                archive.write(info.folder / part, f"{weights_id or info.id}/{part}")
    return file


def _unwritable(file: Path, error: Exception) -> WeightsError:
    reason = getattr(error, "strerror", None) or error
    return WeightsError(f"'{file}' cannot be written ({reason})", "a writable folder", "choose another file")


def install_weights(source: Path, into: Path | None = None) -> WeightsInfo:
    """Install weights from a file of `pack_weights` or from a weights folder; those of the same id are replaced.

    They are loaded first, so that weights that do not work replace nothing. Raises WeightsError.
    """
    source, into = Path(source).resolve(), into or INSTALLED  # a path, never an id
    with tempfile.TemporaryDirectory() as temporary:
        folder = source if source.is_dir() else _unpacked(source, Path(temporary))
        load_weights(folder)
        info = describe_weights(folder)
        if info.id in shipped_ids():
            raise WeightsError(
                f"the id '{info.id}' of weights that ship with mvg",
                "another id",
                "rename their folder and pack it again",
            )
        try:
            into.mkdir(parents=True, exist_ok=True)
            with atomic_folder(into / info.id) as fresh:
                shutil.copytree(info.folder, fresh, dirs_exist_ok=True)
                check_replaceable(into / info.id)
        except OSError as error:
            raise WeightsError(
                f"nothing can be written to '{into}' ({error.strerror or error})",
                "a writable folder",
                "free space there",
            ) from error
    return verify_weights(into / info.id)


def _unpacked(file: Path, target: Path) -> Path:
    """The one weights folder of an archive, unpacked into `target`; other members are ignored."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {Path(name) for name in archive.namelist() if Path(name).name in (CONFIG, TENSORS, CARD)}
            ids = {name.parts[0] for name in members if len(name.parts) == 2 and name.parts[0] != ".."}
            if len(ids) != 1:
                raise WeightsError(
                    f"'{file}' holds {len(ids)} weights folders", "one", "use a file of 'mvg weights pack'"
                )
            (weights_id,) = ids
            folder = target / (weights_id if weights_id != "weights" else file.stem)
            folder.mkdir()
            for part in (CONFIG, TENSORS, CARD):
                if Path(weights_id, part) in members:
                    with archive.open(f"{weights_id}/{part}") as member, open(folder / part, "wb") as copy:
                        shutil.copyfileobj(member, copy)
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # encrypted, or unknown packing
        raise WeightsError(
            f"'{file}' cannot be read as weights ({getattr(error, 'strerror', None) or error})",
            "a file of 'mvg weights pack', or a weights folder",
            "check the path",
        ) from error
    return folder
