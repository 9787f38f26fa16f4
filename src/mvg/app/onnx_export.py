"""`mvg export`: the network of weights as ONNX graphs, with a description and an example that runs without PyTorch."""

import json
import logging
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvg.app.options import Quiet
from mvg.errors import FileError, WeightsError

if TYPE_CHECKING:
    from mvg.model.weights import WeightsInfo

_FORMAT = 1
_EXAMPLE = Path(__file__).with_name("onnx_example.py")
_PACKAGES = ("onnx", "onnxscript")
_ABOUT = {
    "images": "square pictures, float32 in [0, 1]; of several inputs, a picture is predicted as a change of the first",
    "targets": "labels: a channel of 0 and 1 for each class, none for background; image: pictures in [0, 1]",
    "levels, fine, filling": "features of images; compute them once per image",
    "keys_N, values_N": "of the patches of all prompts; those of further prompts are concatenated along axis 2",
    "gram, cross, softness": "sums over prompts; those of further prompts are added",
    "weights, inside, outside": "the solution of the regression; columns: 16 for each channel",
    "logits": "one for each class, 0 is that of background: probabilities are softmax over [0, logits]",
    "pictures": "intensities, about in [0, 1], not clipped",
}


def export(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="New folder for the graphs.")],
    weights: Annotated[str, typer.Option(help="Id or folder.")] = "tiny",
    quiet: Quiet = False,
) -> None:
    """Write the network of weights as ONNX graphs, with an example that runs them without PyTorch or mvg."""
    written = export_weights(weights, output)
    if not quiet:
        print(written)


def export_weights(name: str, output: Path) -> Path:
    """Write graphs, model.json, run.py and the weights' card to a new folder, whole or not at all. Raises MvgErrors."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise FileError(f"no package '{missing[0]}'", "it, to write ONNX", "run pip install 'mvg[export]'")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileError(f"'{output}' exists and is not an empty folder", "a new folder", "choose another one")
    from mvg._atomic import atomic_folder, unwritable
    from mvg.model.export import write_graphs
    from mvg.model.matching import MatchingForm
    from mvg.model.weights import CARD, describe_weights, load_weights

    info, model = describe_weights(name), load_weights(name)
    if not isinstance(model.form, MatchingForm) or info.config.paints:
        message = f"the weights '{name}' are of the {info.config.form} form and paint labels"
        raise WeightsError(message, "the matching form with a channel per class", "export other weights")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(output, error) from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names packages that are not needed
    with atomic_folder(output, partial(unwritable, output)) as folder:
        shapes = write_graphs(model.form, folder)
        (folder / "model.json").write_text(json.dumps(_description(info, shapes), indent=1) + "\n", encoding="utf-8")
        shutil.copyfile(_EXAMPLE, folder / "run.py")
        if info.card:
            (folder / CARD).write_text(info.card, encoding="utf-8")
    return output


def _description(info: "WeightsInfo", shapes: object) -> dict[str, object]:
    import onnx
    import torch

    import mvg
    from mvg.model.export import OPSET

    versions = {"mvg": mvg.__version__, "torch": torch.__version__, "onnx": onnx.__version__, "opset": OPSET}
    return {
        "format": _FORMAT,
        "weights": {"id": info.id, "sha256": info.sha256},
        "versions": versions,
        "side": info.config.size,
        "inputs": info.config.inputs,
        "values": _ABOUT,
        "graphs": shapes,
    }
