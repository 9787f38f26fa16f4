"""Weights on disk: a folder with the tensors, the config of their network, and a checksum that ties both together.

    ID/model.safetensors    every tensor of the model, floats as bfloat16
    ID/config.json          {"format": 1, "config": fields of the model's config, "sha256": of model.safetensors}
    ID/card.md              data, terms, recipe, commit, figures, limits

Shipped weights lie inside the package, in `mvg/weights/ID/`; installed ones in the user's data folder.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mvg._atomic import atomic_folder
from mvg.errors import WeightsError, first_line
from mvg.model.config import FORMS, GeneralistConfig, config_class, config_fields, config_rules
from mvg.model.generalist import OPTIONAL_PARTS, Generalist
from mvg.model.state_names import original_name
from mvg.model.stored_shapes import bounded_by, misfit, stored_shapes


def _user_folder() -> Path:
    """The user's data folder; where only PyTorch is installed, that of Linux."""
    if find_spec("platformdirs") is None:
        return Path.home() / ".local" / "share" / "mvg"
    from platformdirs import user_data_path

    return user_data_path("mvg")


SHIPPED = Path(__file__).resolve().parent.parent / "weights"
INSTALLED = _user_folder() / "weights"
TENSORS, CONFIG, CARD = "model.safetensors", "config.json", "card.md"
FORMAT = 1


@dataclass(frozen=True)
class WeightsInfo:
    """A description of weights, known without loading them; sha256 in hex, the card in Markdown."""

    id: str
    folder: Path
    config: GeneralistConfig
    sha256: str
    bytes: int
    card: str


def save_weights(model: nn.Module, folder: Path, card: str) -> WeightsInfo:
    """Write a model's weights as bfloat16, with their checksum and card (Markdown).

    `model` is a Generalist (anything with a `.config` and a state dict). The folder appears whole or not at all, and
    replaces weights of the same path. Raises WeightsError where it cannot be written.
    """
    config: GeneralistConfig = model.config  # type: ignore[assignment]
    tensors = {name: _compact(tensor) for name, tensor in model.state_dict().items()}
    folder = Path(folder).resolve()  # a path, never an id
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as fresh:
            save_file(tensors, fresh / TENSORS, metadata={"format": "pt"})
            about = {"format": FORMAT, "config": config.as_dict(), "sha256": checksum(fresh / TENSORS)}
            (fresh / CONFIG).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            (fresh / CARD).write_text(card, encoding="utf-8")
            check_replaceable(folder)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"the weights could not be written to '{folder}' ({error})",
            "a writable folder with space left",
            "choose another folder or free some space",
        ) from error
    return describe_weights(folder)


def load_weights(name: str | Path, device: str | torch.device = "cpu") -> Generalist:
    """The model of shipped weights (by id) or of a weights folder (by path), in float32, in evaluation mode.

    The checksum is verified before a byte is used. Raises WeightsError for unknown, incomplete, damaged or foreign
    weights.
    """
    info = verify_weights(name)
    file = info.folder / TENSORS
    try:
        shapes = stored_shapes(file)
        with bounded_by(shapes):
            model = Generalist(info.config)
            model.add_parts_of(shapes)
        problem = misfit(model, shapes)
        if not problem:
            model.load_state_dict(load_file(file))  # copies into float32 parameters
            return model.to(device).eval()
    except (SafetensorError, RuntimeError, ValueError, TypeError, ArithmeticError, OSError) as error:
        problem = first_line(error)
    raise WeightsError(
        f"'{file}' does not fit this version's model ({problem})",
        "weights saved by the same version of mvg",
        "train or install weights for this version",
    )


def verify_weights(name: str | Path) -> WeightsInfo:
    """As `describe_weights`, after a check of the tensors' checksum. Raises WeightsError."""
    info = describe_weights(name)
    file = info.folder / TENSORS
    try:
        actual = checksum(file)
    except OSError as error:
        raise WeightsError(f"'{file}' cannot be read ({error})", "a readable file", "check its permissions") from error
    if actual != info.sha256:
        raise WeightsError(
            f"'{file}' has the sha256 {actual[:16]}...",
            f"{info.sha256[:16]}..., as in its {CONFIG}",
            "the file is damaged or was replaced: install or copy the weights again",
        )
    return info


def describe_weights(name: str | Path) -> WeightsInfo:
    """Config, checksum, size and card of weights, by id or path; nothing large is read. Raises WeightsError."""
    folder = _find(name)
    try:
        about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        size = (folder / TENSORS).stat().st_size
        card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the weights folder '{folder}' is incomplete ({first_line(error)})",
            f"a readable {CONFIG} and {TENSORS} in it",
            "install or copy the weights again",
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("sha256"), str):
        raise WeightsError(
            f"'{folder / CONFIG}' does not describe weights of a known format",
            f"format {FORMAT} with a config and a sha256",
            "install weights for this version of mvg",
        )
    return WeightsInfo(_id(folder), folder, _config(about.get("config"), folder), about["sha256"], size, card)


def _id(folder: Path) -> str:
    """The id of the weights in a folder: its name, or the name of its run for a folder "weights"."""
    return folder.parent.name if folder.name == "weights" else folder.name


def list_weights() -> tuple[WeightsInfo, ...]:
    """All weights that ship inside the package and all installed ones, by id."""
    return tuple(describe_weights(folder) for folder in _known().values())


def shipped_ids() -> tuple[str, ...]:
    """The ids of the weights inside the package."""
    return tuple(folder.name for folder in _folders(SHIPPED))


def fingerprint(model: nn.Module) -> str:
    """The sha256 of all tensors of a model, in hex: equal for models that encode prompts alike.

    Names are those of the first files, so that renaming a part of the network changes no fingerprint.
    """
    digest = hashlib.sha256()
    state = model.state_dict().items()
    tensors = {original_name(name): tensor for name, tensor in state if not name.startswith(OPTIONAL_PARTS)}
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def checksum(file: Path) -> str:
    """The sha256 of a file, in hex."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().to("cpu")
    return (tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor).contiguous()


def check_replaceable(folder: Path) -> None:
    """Raises OSError for a folder that holds other things than weights, which must not be replaced."""
    if folder.exists() and any(folder.iterdir()):
        try:
            describe_weights(folder.resolve())
        except WeightsError as error:
            raise OSError("the folder holds other things, not weights") from error


def _folders(parent: Path) -> list[Path]:
    return sorted(file.parent for file in parent.glob(f"*/{CONFIG}")) if parent.is_dir() else []


def _known() -> dict[str, Path]:
    """Id -> folder of weights; those that ship take precedence over installed ones."""
    return {folder.name: folder for folder in (*_folders(INSTALLED), *_folders(SHIPPED))}


def _find(name: str | Path) -> Path:
    known = _known()
    if str(name) in known:
        return known[str(name)]
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file() and path.name == TENSORS:
        return path.resolve().parent
    raise WeightsError(
        f"no weights are called '{name}' and there is no such weights folder",
        f"one of {', '.join(known) or '(none is shipped)'} or the path of a folder with {CONFIG} and {TENSORS}",
        "see `mvg weights list`",
    )


def _config(values: Any, folder: Path) -> GeneralistConfig:
    action = "install weights for this version of mvg"
    if not isinstance(values, dict):
        raise WeightsError(f"the config of '{folder}' is no table", "a table of the fields of a model", action)
    form = config_class(values)
    if form is None:
        problem = f"the config of '{folder}' has model.form = {values['form']!r}"
        raise WeightsError(problem, f"one of {', '.join(FORMS)}", action)
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in config_fields(values, form).items()
    }
    known = [field.name for field in fields(form)]
    unknown = sorted(set(plain) - set(known))
    if unknown:
        problem = f"the config of '{folder}' has {', '.join(unknown)}"
        raise WeightsError(problem, f"only form, {', '.join(known)}", action)
    hints, default = get_type_hints(form), form()
    for key, value in plain.items():
        if not _typed(value, hints[key]):
            problem = f"the config of '{folder}' has model.{key} = {value!r}"
            raise WeightsError(problem, f"a value like {getattr(default, key)!r}", action)
    config = form(**plain)
    for holds, problem, expected in config_rules(config):
        if not holds:
            raise WeightsError(f"the config of '{folder}' has {problem}", expected, action)
    return config


def _typed(value: Any, hint: Any) -> bool:
    """Whether a value of a config has the type of its field."""
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(type(item) is int for item in value)
    return value in get_args(hint) if get_args(hint) else type(value) in (hint, int if hint is float else hint)
