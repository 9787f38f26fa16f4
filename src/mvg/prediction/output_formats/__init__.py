"""Formats of predictions, one per file; `--format` takes the file name, with "-" for "_".

A format has `suffix(query, target_type, scale)`, what is added to the name of the query for its prediction, and
`write(output, path)`; `uncertainty_suffix(query)` and `write_uncertainty(values, output, path)`; and NEEDS_DICOM,
whether the query must be DICOM. A suffix without a dot names a folder. Errors are MvgErrors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType

from mvg._atomic import atomic_folder, unwritable
from mvg._plugins import named
from mvg.errors import FileError, PromptError
from mvg.imaging.dicom.derived import write_captures
from mvg.imaging.dicom.reference import Reference, reference_of
from mvg.imaging.dicom.terms import Code, Term, terms_of
from mvg.imaging.files import suffix_of
from mvg.imaging.formats import dicom
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window


@dataclass(frozen=True)
class FormatOptions:
    """How predictions are written.

    format: the name of a format, "" for the query's own, and NIfTI for DICOM; names: of labels; codes: the user's, see
    `terms_of`; outlines: also as pictures of each slice, for DICOM.
    """

    format: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    codes: tuple[tuple[str, Code], ...] = ()
    outlines: bool = False


BY_QUERY = FormatOptions()
"""Each prediction in the format of its query, and NIfTI for DICOM."""


@dataclass(frozen=True, eq=False)
class Output:
    """A prediction to be written: the volume, the query with its path and DICOM series, and how it is written.

    scale: the intensities of the prompts' targets where a picture is on their scale, else None.
    """

    volume: LabelMap | Volume
    query: Volume
    path: Path
    series: str = ""
    scale: Window | None = None
    written_as: FormatOptions = BY_QUERY

    @property
    def labels(self) -> LabelMap:
        """The volume of a prediction of labels."""
        assert isinstance(self.volume, LabelMap), "the format was chosen for labels"
        return self.volume

    @property
    def terms(self) -> dict[int, Term]:
        """What the labels mean, and at least one label."""
        names, codes = self.written_as.names, self.written_as.codes
        return terms_of({*self.labels.values, *names} or {1}, names, codes)

    def reference(self) -> Reference:
        """The DICOM images of the query. Raises FileError where none can be referred to."""
        return reference_of(self.path, self.series, self.query.shape)


def format_for(name: str, query: Path) -> ModuleType:
    """The format of that name for a query; raises UnknownNameError, and FileError where the query must be DICOM."""
    from mvg.prediction import output_formats

    has_dicom = is_export(query)
    file_format = named(output_formats, (name or ("nifti" if has_dicom else "same")).replace("-", "_"))
    if file_format.NEEDS_DICOM and not has_dicom:
        raise FileError(f"'{query}' to be answered as {name}", "a DICOM query", "choose --format same or nifti")
    return file_format


def is_export(query: Path) -> bool:
    """Whether a query is read as DICOM, by its name; files without a suffix count as such."""
    return query.is_dir() or suffix_of(query) in ("", *dicom.SUFFIXES)


def check_labels(name: str, target_type: str) -> None:
    """Raises PromptError for pictures in a format that holds labels alone."""
    if target_type != "labels":
        raise PromptError(
            f"--format {name} for a task that predicts pictures", "a segmentation", "choose --format same"
        )


def write_outlines(output: Output, folder: Path) -> None:
    """Write the slices with labels as pictures with outlines, in a folder that replaces an older one.

    Raises FileError where it cannot be written.
    """
    with atomic_folder(folder, partial(unwritable, folder)) as temporary:
        write_captures(output.labels, output.query, output.reference(), temporary)
