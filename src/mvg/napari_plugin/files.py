"""Reads medical images into layers, and writes layers with their geometry."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mvg.imaging.files import read, write
from mvg.napari_plugin.geometry import label_map_of, layer_affine, layer_array, volume_of

LayerData = tuple[Any, dict[str, Any], str]
"""Array, settings and type of a layer, as napari's plugins exchange them."""


def reader_of(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """The reader for a file; None for several files, which napari would stack."""
    return _read if isinstance(path, str) else None


def write_labels(path: str, array: Any, settings: dict[str, Any]) -> list[str]:
    """Write a labels layer; the files that were written. Raises FileError, GeometryError."""
    write(label_map_of(_layer(array, settings)), path)
    return [path]


def write_image(path: str, array: Any, settings: dict[str, Any]) -> list[str]:
    """Write an image layer; the files that were written. Raises FileError, GeometryError."""
    write(volume_of(_layer(array, settings)), path)
    return [path]


def _read(path: str | Sequence[str]) -> list[LayerData]:
    assert isinstance(path, str)
    volume = read(path)
    name = Path(path).name.split(".")[0]
    return [(layer_array(volume), {"name": name, "affine": layer_affine(volume), "rgb": volume.channels == 3}, "image")]


def _layer(array: Any, settings: dict[str, Any]) -> Any:
    """A layer that is not in a viewer, as napari hands it to writers: its transforms are joined to one matrix."""
    from napari.layers import Image

    kept = {name: settings[name] for name in ("affine", "scale", "translate", "rotate", "shear") if name in settings}
    layer = Image(array, rgb=settings.get("rgb", False), **kept)
    return SimpleNamespace(
        data=array, rgb=settings.get("rgb", False), name=settings.get("name", "?"), data_to_world=layer.data_to_world
    )
