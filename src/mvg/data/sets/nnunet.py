"""Any folder in the nnU-Net raw layout: the way to use data that no published set covers.

FOLDER/imagesTr/CASE_0000.nii.gz     channel 0; further registered channels _0001, ...
FOLDER/labelsTr/CASE.nii.gz          integer labels on the same grid (optional, also per case)
FOLDER/targetsTr/CASE.nii.gz         image targets on the same grid (optional, also per case)
FOLDER/dataset.json                  channel_names, labels, file_ending, regions_class_order (optional, see
                                     `mvg.data.regions`), and beyond nnU-Net, all optional:
                                     name, modality, region, units ("HU", of all pictures), patient, targets,
                                     target_task (a kind of task with pictures as targets), annotated_slices,
                                     license, citation, note

`patient` is a regular expression whose match at the start of a case's name is the patient. When names do not show which
cases are of one patient, it is a table {case: patient} of all cases. `annotated_slices` is a table {case: [indices]} of
the slices that were labeled, across the thickest axis, for cases of which not all were.
"""

import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mvg._plugins import names_in
from mvg.data.case import Card, Case, DataSet
from mvg.data.regions import Region, region_names, regions_of, written_values
from mvg.errors import FileError
from mvg.imaging.files import read, read_labels, stem_of
from mvg.imaging.folder import listed
from mvg.imaging.window import guess_modality

_CHANNEL = re.compile(r"(.+)_(\d{4})$")
_KINDS = Path(__file__).parents[2] / "tasks" / "kinds"  # a task of a target is named as its file there


def recognizes(folder: Path) -> bool:
    """Whether the folder is in this layout: it has `imagesTr`."""
    return (folder / "imagesTr").is_dir()


def open(folder: Path) -> DataSet:
    """Opens the data set in `folder`; without dataset.json its card follows from the folder's name, files and labels.

    Raises FileError for a missing or empty imagesTr, missing channels, or a dataset.json that cannot be read or has
    invalid entries.
    """
    description = _description(folder)
    ending = str(description.get("file_ending", ""))
    images = _images(folder, ending)
    labels, targets = (_by_case(folder / part, images, ending) for part in ("labelsTr", "targetsTr"))
    card = _card(folder, description, images, labels, targets)
    patients = _patients(folder, description, images, card)
    annotated = {name: tuple(map(int, indices)) for name, indices in description.get("annotated_slices", {}).items()}
    written = written_values(regions_of(description))
    cases = (
        Case(
            name,
            patients[name],
            paths,
            labels.get(name),
            targets.get(name),
            annotated=annotated.get(name),
            written=written,
        )
        for name, paths in images.items()
    )
    return DataSet(card, tuple(cases))


def regions_in(folder: Path) -> tuple[Region, ...]:
    """The regions that dataset.json names, see `mvg.data.regions`. Raises FileError where it cannot be read."""
    return regions_of(_description(folder))


def _patients(folder: Path, description: dict[str, Any], cases: Iterable[str], card: Card) -> dict[str, str]:
    """Case -> patient, from the table of the description if there is one, else by the card's pattern."""
    table = description.get("patient")
    if not isinstance(table, dict):
        return {case: card.patient_of(case) for case in cases}
    unnamed = [case for case in cases if not isinstance(table.get(case), str) or not table[case]]
    if unnamed:
        raise FileError(
            f"'patient' in {folder / 'dataset.json'} lacks {len(unnamed)} cases (the first is {unnamed[0]})",
            "a name for every case, or a regular expression for all",
            "add the cases to the table",
        )
    return {case: table[case] for case in cases}


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """Name without suffix -> file. Of several with one name, that with the `ending` of dataset.json counts.

    Raises FileError where none or several have it.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            by_name[stem_of(path)].append(path)
    left_out = list[str]()
    for name, paths in by_name.items():
        ends = [path for path in paths if ending and path.name == name + ending]
        if len(paths) > 1 and len(ends) != 1:
            names = " and ".join(path.name for path in paths)
            raise FileError(f"'{folder}' has {names}", "one file for each name", "remove one, or state the file_ending")
        left_out += [path.name for path in paths if ends and path not in ends]
        by_name[name] = ends or paths
    if left_out:
        message = "'%s': files of other formats than %s with equal names are left out: %s"
        logging.getLogger("mvg").warning(message, folder, ending, listed(left_out))
    return {name: paths[0] for name, paths in by_name.items()}


def _by_case(folder: Path, cases: Iterable[str], ending: str) -> dict[str, Path]:
    """Case name -> its file in `folder`; empty when the folder does not exist. Files of no case are ignored."""
    files = _files(folder, ending) if folder.is_dir() else {}
    file_of = {name: files[name] for name in cases if name in files}
    if files and not file_of:
        raise FileError(
            f"no file in {folder} has the name of a case of imagesTr (the first is {next(iter(files.values())).name})",
            f"names such as {next(iter(cases))}, without a channel number",
            "rename the files",
        )
    return file_of


def _images(folder: Path, ending: str) -> dict[str, tuple[Path, ...]]:
    """Case name -> its images by channel; every case must have the same channels 0, 1, ..."""
    image_folder = folder / "imagesTr"
    if not image_folder.is_dir():
        raise FileError(f"{folder} has no imagesTr", "the nnU-Net raw layout, imagesTr/CASE_0000.*", "check the path")
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    for name, path in _files(image_folder, ending).items():
        if match := _CHANNEL.match(name):
            files[match.group(1)][int(match.group(2))] = path
    if not files:
        raise FileError(
            f"no image called CASE_0000.* in {image_folder}",
            "file names that end in a channel number of four digits",
            "rename the images, for example liver7.nii.gz to liver7_0000.nii.gz",
        )
    count = max(len(channels) for channels in files.values())
    for name, channels in files.items():
        if sorted(channels) != list(range(count)):
            missing = [f"{channel:04d}" for channel in range(max(channels) + 1) if channel not in channels]
            raise FileError(
                f"case {name} in {image_folder} has the channels {', '.join(f'{c:04d}' for c in sorted(channels))}"
                + (f" and lacks {', '.join(missing)}" if missing else ""),
                f"the channels 0000 to {max(max(channels), count - 1):04d}, numbered without gaps, in every case",
                "add or renumber the images, or remove the case",
            )
    return {name: tuple(files[name][channel] for channel in range(count)) for name in sorted(files)}


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    if not path.is_file():
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows may begin it with a mark
    except (ValueError, OSError) as error:
        raise FileError(f"{path} cannot be read ({error})", "valid JSON", "correct or remove the file") from error
    if not isinstance(description, dict):
        raise FileError(f"{path} holds a {type(description).__name__}", "a JSON object", "correct or remove the file")
    try:
        re.compile(_pattern(description))
        _values(description.get("labels", {}))
        regions_of(description)
        _channels(description, 0)
        for indices in description.get("annotated_slices", {}).values():
            list(map(int, indices))
    except (re.error, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise FileError(
            f"{path} has a 'patient', 'labels', 'regions_class_order', 'channel_names' or 'annotated_slices' that is "
            f"not valid ({error})",
            "a regular expression or a table of cases, label names with their values, a value for each region, numbers "
            "with channel names, and cases with lists of slices",
            "correct the file",
        ) from error
    kinds = names_in(_KINDS)
    if "target_task" in description and description["target_task"] not in kinds:
        raise FileError(
            f"{path} has target_task = {description['target_task']!r}", f"one of {', '.join(kinds)}", "correct the file"
        )
    return description


def _channels(description: dict[str, Any], count: int) -> tuple[str, ...]:
    """The name of every channel; names that occur twice are followed by the channel number."""
    # The first version of nnU-Net calls the key "modality".
    old = description.get("modality") if isinstance(description.get("modality"), dict) else None
    channel_names = {
        str(channel): str(name) for channel, name in (description.get("channel_names") or old or {}).items()
    }
    names = [channel_names.get(str(channel), f"channel {channel}") for channel in range(count)]
    return tuple(f"{name} {channel}" if names.count(name) > 1 else name for channel, name in enumerate(names))


def _pattern(description: dict[str, Any]) -> str:
    """The pattern of patients; with a table of patients it matches the whole name of a case."""
    value = description.get("patient", ".+")
    return ".+" if isinstance(value, dict) else str(value)


def _card(
    folder: Path,
    description: dict[str, Any],
    images: dict[str, tuple[Path, ...]],
    labels: dict[str, Path],
    targets: dict[str, Path],
) -> Card:
    first = next(iter(images.values()))
    value = description.get("modality", "")
    modality, units = "" if isinstance(value, dict) else str(value), str(description.get("units", ""))
    channels = _channels(description, len(first))
    modality = modality or ("CT" if channels[0].upper() == "CT" else "")
    # The keys of nnU-Net do not say whether a CT is in HU; the values of one case do.
    paths = (*first, *list(targets.values())[:1])
    if "units" not in description and modality in ("", "CT") and all(_in_hu(path, modality) for path in paths):
        units, modality = "HU", "CT"
    target = str(description.get("targets", "target")).removeprefix("targetsTr:").strip() if targets else None
    return Card(
        name=_name(folder),
        title=str(description.get("name", _name(folder))),
        modality=modality or "other",
        region=str(description.get("region", "")),
        channels=channels,
        labels=_named_labels(description, labels),
        units=units,
        image_target=target,
        image_task=str(description.get("target_task", _guess_task(*channels, target))) if target else "",
        patient=_pattern(description),
        license=str(description.get("license", description.get("licence", ""))),
        citation=str(description.get("citation", description.get("reference", ""))),
        note=str(description.get("note", description.get("description", ""))),
    )


def _in_hu(path: Path, modality: str) -> bool:
    """Whether an image seems to be in HU; for a known CT, negative values are enough."""
    voxels = read(path).voxels
    return guess_modality(voxels) == "CT" or (modality == "CT" and bool(voxels.min() < 0))


def _name(folder: Path) -> str:
    """The name of the folder; of a link, the name of the link, not that of its target."""
    return Path(os.path.abspath(folder)).name


def _guess_task(*names: str | None) -> str:
    """The task kind of an image target, guessed from words in the names of channels and target."""
    words = " ".join(name or "" for name in names).lower()
    if re.search(r"dose|nois", words):
        return "denoising"
    return "inpainting" if re.search(r"void|inpaint|masked", words) else "synthesis"


def _named_labels(description: dict[str, Any], labels: dict[str, Path]) -> dict[int, str]:
    """Label value -> name, from dataset.json or else from the values in the label maps; empty without label maps."""
    if not labels:
        return {}
    if not description.get("labels"):
        values = {value for path in labels.values() for value in read_labels(path).values}
        return {value: f"label {value}" for value in sorted(values)}
    regions = regions_of(description)
    if not regions:
        return _values(description["labels"])
    ignored = {value: name for value, name in _values(description["labels"]).items() if name == "ignore"}
    return dict(sorted((region_names(regions) | ignored).items()))


def _values(description: Any) -> dict[int, str]:
    """Label value -> name, without background, from either form of nnU-Net: {"liver": 1} or {"1": "liver"}.

    Raises ValueError for two names of one value, and for a background other than 0.
    """
    named: dict[int, str] = {}
    for key, value in description.items():
        if isinstance(value, list):  # a region of several values (nnU-Net's region-based training)
            continue
        reversed_form = not isinstance(value, int) and str(key).isdigit()  # of the first version: {"1": "liver"}
        number, name = (int(key), str(value)) if reversed_form else (int(value), str(key))
        if number in named:
            raise ValueError(f"'{named[number]}' and '{name}' both have the value {number}")
        if name == "background" and number != 0:
            raise ValueError(f"the background has the value {number}, not 0")
        named[number] = name
    in_regions = {int(label) for value in description.values() if isinstance(value, list) for label in value}
    named |= {label: f"label {label}" for label in in_regions - set(named)}
    return {value: name for value, name in sorted(named.items()) if value != 0}
