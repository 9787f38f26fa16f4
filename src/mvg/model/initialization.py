"""Image encoders that were trained elsewhere, as a start: the blocks and the layers before them; the rest stays random.

    mvg          a weights folder or a run's `checkpoint.pt` of either form, for example of pretraining
    MAE          `.pth` of facebookresearch/mae: patch_embed.proj, blocks.N.attn.qkv, ...
    Hugging Face ViTMAE as safetensors or `.bin`: vit.encoder.layer.N...., a file or its folder

A public MAE takes color images, adds positions to its tokens, and has a class token. Its patch embedding becomes that
of gray images. Its positions are left out, since ours are computed, and so is the class token.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from mvg.errors import WeightsError, first_line
from mvg.model.generalist import Generalist
from mvg.model.merged import LinearStem, MergedForm
from mvg.model.pretrained import Trunk, gray_weights
from mvg.model.state_names import rename_old
from mvg.model.weights import CARD, TENSORS, load_weights, verify_weights

_PARTS = {"image_stem": "stem", "image_mask": "mask_token"} | {
    part: part for part in ("positions", "blocks", "norms", "stream_embedding")
}  # names of the merged form -> names of the image encoder
_BLOCK = re.compile(r"blocks\.(\d+)\.")
_MAE = {"norm1": "norm1", "norm2": "norm2", "attn.qkv": "attention.qkv", "attn.proj": "attention.out",
        "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2"}  # fmt: skip
_HUGGING_FACE = {"layernorm_before": "norm1", "layernorm_after": "norm2", "attention.output.dense": "attention.out",
                 "intermediate.dense": "mlp.0", "output.dense": "mlp.2"}  # fmt: skip


def initialize(model: Generalist, path: str | Path) -> int:
    """Give a model the image encoder in `path`, in place; returns how many of its tensors were taken over.

    Number and width of the blocks must match; other parts are taken where they fit. Raises WeightsError for a file that
    cannot be read, holds no known encoder, or has another width or depth.
    """
    loaded = _encoder(_read(Path(path).expanduser()), model.config.patch, str(path))
    merged = isinstance(model.form, MergedForm)
    target = _encoder_part(model.form.state_dict(keep_vars=True))
    if not (merged and isinstance(model.form.image_stem, LinearStem)):
        loaded = {name: tensor for name, tensor in loaded.items() if not name.startswith("stem.embed.")}
    _check(loaded, target, str(path))
    norms = {name for name in target if name.startswith("norms.")}
    if norms != {name for name in loaded if name.startswith("norms.")}:  # other levels
        loaded = {name: tensor for name, tensor in loaded.items() if not name.startswith("norms.")}
    fitting = [name for name in loaded if name in target and target[name].shape == loaded[name].shape]
    with torch.no_grad():
        for name in fitting:
            target[name].copy_(loaded[name])
    return len(fitting)


def take_trunk(model: Generalist, weights: str | Path) -> None:
    """Give a model the frozen network for photographs of `weights` (id or folder), in place.

    Raises WeightsError for weights that cannot be read, and where they or the model have none.
    """
    to, taken = _trunk(model), _trunk(load_weights(weights))
    if to is None or taken is None:
        problem = f"'{weights}' has" if taken is None else "the network to train has"
        raise WeightsError(f"{problem} no features of photographs", "model.pretrained above 0", "choose others")
    to.load_state_dict(taken.state_dict())


def _trunk(model: Generalist) -> Trunk | None:
    features = getattr(getattr(model.form, "image_encoder", None), "photographs", None)
    return None if features is None else features.trunk


def _encoder_part(form: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's part of a form's state, under the names of the matching form's image encoder."""
    inner = {
        name.removeprefix("image_encoder."): tensor
        for name, tensor in form.items()
        if name.startswith("image_encoder.")
    }
    if inner:
        return inner
    encoder = {}
    for name, tensor in form.items():
        part, dot, rest = name.partition(".")
        if part in _PARTS:
            encoder[_PARTS[part] + dot + rest] = tensor
    return encoder


def _encoder(state: Mapping[str, Tensor], patch: int, source: str) -> dict[str, Tensor]:
    """Any known encoder, under the names of our image encoder."""
    if any(name.startswith("form.") for name in state):
        present = dict(state)
        rename_old(present)
        return _encoder_part({name.removeprefix("form."): tensor for name, tensor in present.items()})
    if "patch_embed.proj.weight" in state:
        blocks = {name: tensor for name, tensor in state.items() if name.startswith("blocks.")}
        return _renamed(blocks, _MAE) | _gray(state, "patch_embed.proj", patch)
    bare = {name.removeprefix("vit."): tensor for name, tensor in state.items()}
    if "embeddings.patch_embeddings.projection.weight" in bare:
        layers = {name.replace("encoder.layer.", "blocks."): tensor for name, tensor in bare.items()
                  if name.startswith("encoder.layer.")}  # fmt: skip
        return _renamed(_joined(layers), _HUGGING_FACE) | _gray(bare, "embeddings.patch_embeddings.projection", patch)
    raise WeightsError(
        f"'{source}' holds no known image encoder (its tensors: {', '.join(list(state)[:3])}, ...)",
        "weights or a checkpoint of mvg, or a ViT-MAE of facebookresearch/mae or Hugging Face",
        "choose such a file",
    )


def _renamed(blocks: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The blocks' tensors under our names, without those that we have no name for."""
    renamed = {}
    for name, tensor in blocks.items():
        _, number, rest = name.split(".", 2)
        part, _, kind = rest.rpartition(".")
        if part in names:
            renamed[f"blocks.{number}.{names[part]}.{kind}"] = tensor
        elif part == "attention.qkv":
            renamed[name] = tensor
    return renamed


def _joined(blocks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values of Hugging Face's blocks as one projection."""
    joined = dict(blocks)
    query = ".attention.attention.query."
    for name in [name for name in blocks if query in name]:
        parts = [joined.pop(name.replace(".query.", f".{part}."), None) for part in ("query", "key", "value")]
        known = [part for part in parts if part is not None]
        if len(known) == 3:
            joined[name.replace(query, ".attention.qkv.")] = torch.cat(known)
    return joined


def _gray(state: Mapping[str, Tensor], name: str, patch: int) -> dict[str, Tensor]:
    """A convolution over color patches as our linear map of gray patches: the same tokens for gray pictures.

    MAE's pictures are (x - mean) / spread per color, ours x - 0.5. Another patch size resamples the weights.
    """
    weight, bias = state[f"{name}.weight"].float(), state.get(f"{name}.bias")
    if weight.ndim != 4 or weight.shape[1] != 3 or bias is None:
        return {}
    gray, offset = gray_weights(weight, middle=0.5)
    if gray.shape[-1] != patch:
        share = (gray.shape[-1] / patch) ** 2  # a patch of more pixels adds up as much
        gray = share * F.interpolate(gray, (patch, patch), mode="bicubic", antialias=True)
    return {"stem.embed.weight": gray.flatten(1), "stem.embed.bias": bias.float() + offset}


def _check(loaded: Mapping[str, Tensor], target: Mapping[str, Tensor], source: str) -> None:
    """Raises WeightsError unless every block has all tensors in the right shapes."""
    depth, depths = (
        len({match[1] for name in names if (match := _BLOCK.match(name))}) for names in (target, loaded)
    )  # fmt: skip
    if depth != depths:
        raise WeightsError(
            f"the encoder in '{source}' has {depths} blocks", f"{depth}, as the model", "choose a model of its depth"
        )
    for name, tensor in target.items():
        if not _BLOCK.match(name):
            continue
        shape = tuple(loaded[name].shape) if name in loaded else None
        if shape != tuple(tensor.shape):
            raise WeightsError(
                f"the encoder in '{source}' has {'no ' if shape is None else ''}{name} {shape or ''}",
                f"one of {tuple(tensor.shape)}, as the model",
                "choose a model of its width",
            )


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, or of the weights in a folder."""
    if path.is_dir():
        if (path / CARD).is_file():  # ours, with a checksum
            verify_weights(path)
        path = next((path / name for name in (TENSORS, "pytorch_model.bin") if (path / name).is_file()), path / TENSORS)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        raise WeightsError(
            f"'{path}' cannot be read ({first_line(error)})",
            "a whole safetensors file or PyTorch checkpoint of tensors",
            "check the path or get the file again",
        ) from error
    for key in ("average", "model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict):
        state = {}
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
