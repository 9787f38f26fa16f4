"""DICOM segmentations (SEG) of labels, and parametric maps of uncertainty, made by highdicom.

Both refer to the images they were made from and lie on their very grid. Arrays go in with one picture per image, in the
order of the images, so no reader has to guess an orientation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mvg.errors import FileError
from mvg.imaging.dicom.reference import MANUFACTURER, Reference, description, series_number
from mvg.imaging.dicom.terms import PRIVATE, STRUCTURE, Term
from mvg.imaging.overlay import color_of
from mvg.imaging.volume import LabelMap, Volume

Kind = Literal["BINARY", "LABELMAP"]
"""One bit per voxel and segment, which every reader knows; or label values, one object for many labels."""

_SEG, _MAP = 1, 3  # kinds of objects in series numbers
_MOST_LABELS = 2**16 - 1


def write_segmentation(
    labels: LabelMap, terms: Mapping[int, Term], reference: Reference, path: Path, kind: Kind = "BINARY"
) -> None:
    """Write a SEG with one segment per label that occurs; frames without labels are left out.

    terms: of all labels. Segments of "BINARY" are numbered from 1 in the order of the labels; those of "LABELMAP" have
    the labels as numbers. Raises FileError for labels that no segment can have.
    """
    import highdicom

    values = labels.values or tuple(sorted(terms))[:1]
    if values and not 0 < values[0] <= values[-1] <= _MOST_LABELS:
        raise FileError(f"labels from {values[0]} to {values[-1]} for a SEG", "1 to 65535", "write --format nifti")
    numbers = {value: value if kind == "LABELMAP" else number for number, value in enumerate(values, 1)}
    pictures = reference.pictures(labels.voxels)
    segments = np.zeros(pictures.shape, np.uint8 if max(numbers.values()) < 256 else np.uint16)
    for value, number in numbers.items():
        segments[pictures == value] = number
    dataset = highdicom.seg.Segmentation(
        source_images=list(reference.headers),
        pixel_array=segments,
        segmentation_type=kind,
        segment_descriptions=[_segment(number, terms[value]) for value, number in numbers.items()],
        omit_empty_frames=bool(labels.values),
        content_label="MVG_LABELS",
        content_description="Labels predicted from example pairs",
        **_identity(reference, _SEG),
    )
    dataset.SeriesDescription = description("segmentation", reference)
    _correct_spacing(dataset, labels)
    _add_sides(dataset, [terms[value] for value in numbers])
    dataset.save_as(path)


def write_parametric_map(values: Volume, reference: Reference, path: Path) -> None:
    """Write values from 0 to 1 (an uncertainty) as a parametric map of 32-bit numbers."""
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    scale = highdicom.pm.RealWorldValueMapping(
        lut_label="uncertainty",
        lut_explanation="0 is certain, 1 is the largest uncertainty",
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=Code("uncertainty", PRIVATE, "Uncertainty of a prediction"),
    )
    dataset = highdicom.pm.ParametricMap(
        source_images=list(reference.headers),
        pixel_array=reference.pictures(values.voxels).astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[scale],
        voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="MVG_UNCERTAINTY",
        **_identity(reference, _MAP),
    )
    dataset.SeriesDescription = description("uncertainty", reference)
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = _anatomy()
    _reverse_frames(dataset)
    _correct_spacing(dataset, values)
    dataset.save_as(path)


def _correct_spacing(dataset: Any, volume: LabelMap | Volume) -> None:
    """Writes the distance between slices; without it, readers use the thickness, though slices may overlap."""
    measures = dataset.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    if measures and "PlaneOrientationSequence" in dataset.SharedFunctionalGroupsSequence[0]:
        across, down, step = volume.affine[:3, :3].T
        normal = np.cross(across, down)
        distance = abs(float(step @ normal) / float(np.linalg.norm(normal)))
        measures[0].SliceThickness = measures[0].SpacingBetweenSlices = round(distance, 6)


def _reverse_frames(dataset: Any) -> None:
    """Stores the frames along the normal: highdicom begins at its end, and dcmqi does not look at frames' positions."""
    from pydicom import Sequence

    frames = list(dataset.PerFrameFunctionalGroupsSequence)[::-1]
    if "PlanePositionSequence" not in frames[0]:
        return
    for number, frame in enumerate(frames, 1):
        frame.FrameContentSequence[0].DimensionIndexValues = number
    pixels = np.frombuffer(dataset.FloatPixelData, np.float32).reshape(len(frames), -1)
    dataset.PerFrameFunctionalGroupsSequence, dataset.FloatPixelData = Sequence(frames), pixels[::-1].tobytes()


def _anatomy() -> Any:
    """An unknown part of the body, without which dcmqi ends with an error."""
    from pydicom import Dataset, Sequence

    anatomy = Dataset()
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = "U", Sequence([STRUCTURE.item()])
    return Sequence([anatomy])


def _identity(reference: Reference, kind: int) -> dict[str, Any]:
    from pydicom.uid import generate_uid

    from mvg import __version__

    return {
        "series_instance_uid": generate_uid(),
        "series_number": series_number(reference, kind),
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": __version__,
        "device_serial_number": "none",
    }


def _segment(number: int, term: Term) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    from mvg import __version__

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="mvg in-context segmentation", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=term.name[:64],
        segmented_property_category=Code(term.category.value, term.category.scheme, term.category.meaning),
        segmented_property_type=Code(term.concept.value, term.concept.scheme, term.concept.meaning),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=highdicom.UID(),
        tracking_id=f"mvg {number}",
        display_color=highdicom.color.CIELabColor.from_rgb(*color_of(number)),
    )


def _add_sides(dataset: Any, terms: list[Term]) -> None:
    """The side of paired organs, as a modifier of what a segment is."""
    from pydicom import Sequence

    segments = [one for one in dataset.SegmentSequence if one.SegmentNumber > 0]
    for segment, term in zip(segments, terms, strict=True):
        if term.side is not None:
            concept = segment.SegmentedPropertyTypeCodeSequence[0]
            concept.SegmentedPropertyTypeModifierCodeSequence = Sequence([term.side.item()])
