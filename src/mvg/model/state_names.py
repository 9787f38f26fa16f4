"""Names of tensors as files wrote them before parts of the network were renamed; such files still load.

Fingerprints of a model are taken over the old names, so that what was encoded before stays valid.
"""

import re
from typing import Any

_RENAMED = {
    r"^form\.images\.": "form.image_encoder.",
    r"^form\.targets\.": "form.target_encoder.",
    r"^form\.(target_encoder|decoder)\.see\.": r"form.\1.from_image.",
    r"^form\.ridge\.shrink$": "form.ridge.log_ridge_penalty",
    r"^form\.kind$": "form.stream_embedding",
}
_ORIGINAL = {
    r"^form\.image_encoder\.": "form.images.",
    r"^form\.(target_encoder|decoder)\.from_image\.": r"form.\1.see.",
    r"^form\.target_encoder\.": "form.targets.",
    r"^form\.ridge\.log_ridge_penalty$": "form.ridge.shrink",
    r"^form\.stream_embedding$": "form.kind",
}


def current_name(name: str) -> str:
    """The present name of a tensor of a `Generalist`; present names stay."""
    return _replaced(name, _RENAMED)


def original_name(name: str) -> str:
    """The name under which the first files hold a tensor of a `Generalist`; undoes `current_name`."""
    return _replaced(name, _ORIGINAL)


def rename_old(state: dict[str, Any], prefix: str = "") -> None:
    """Give the tensors of a state dict, whose names begin with `prefix`, their present names, in place."""
    for name in list(state):
        if name.startswith(prefix):
            state[prefix + current_name(name.removeprefix(prefix))] = state.pop(name)


def _replaced(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        name = re.sub(old, new, name)
    return name
