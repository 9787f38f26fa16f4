"""The index of a prepared set, `slices.json`: written last, so that a set that has one is complete."""

import json
from pathlib import Path
from typing import Any

from mvg._remote import Address, is_url, join, public, read_bytes
from mvg.errors import FileError

FORMAT = 1
INDEX = "slices.json"


def read_index(folder: Address) -> dict[str, Any]:
    """The index of the set in a folder. FileError where it cannot be read or has another format version."""
    address = join(folder, INDEX)
    try:
        content = read_bytes(address) if is_url(address) else Path(address).read_bytes()
        index: dict[str, Any] = json.loads(content)
    except (OSError, ValueError) as error:
        raise FileError(f"{public(address)} cannot be read ({error})", "a prepared set", "prepare it again") from error
    if index.get("format") != FORMAT:
        message = f"{public(address)} has format {index.get('format')}"
        raise FileError(message, f"format {FORMAT}", "prepare the set again")
    return index
