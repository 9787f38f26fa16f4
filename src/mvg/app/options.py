"""Options that several commands share, or that describe a prediction; help texts are built without PyTorch."""

from pathlib import Path
from typing import Annotated

import typer

import mvg
from mvg._plugins import names_in
from mvg.prediction.options import PredictionOptions as Defaults

_PACKAGE = Path(mvg.__file__).parent
KINDS = ", ".join(names_in(_PACKAGE / "tasks" / "kinds"))
_STRATEGIES = ", ".join(names_in(_PACKAGE / "prediction" / "selection" / "strategies"))
_FORMATS = ", ".join(name.replace("_", "-") for name in names_in(_PACKAGE / "prediction" / "output_formats"))

Strict = Annotated[bool, typer.Option("--strict", help="Refuse what is odd, instead of a line about it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is odd, and errors.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto for the fastest one.")]

# Options of prediction: None stands for the options of the task file, or for the defaults.
Strategy = Annotated[
    str | None,
    typer.Option(help=f"How prompts are chosen for a slice: {_STRATEGIES}.", show_default=Defaults.strategy),
]
NumPrompts = Annotated[
    int | None,
    typer.Option(min=1, help="Prompt slices per query slice, at most.", show_default=str(Defaults.num_prompts)),
]
Zoom = Annotated[
    str | None,
    typer.Option(help="auto: small and fine labels again at a finer scale; off.", show_default=Defaults.zoom),
]
ThroughPlane = Annotated[
    str | None,
    typer.Option(help="auto: averaged with slices beside that look alike; off.", show_default=Defaults.through_plane),
]
Registration = Annotated[
    str | None,
    typer.Option(
        help="auto: labels of prompts that resemble the query, warped, as a prior; off.",
        show_default=Defaults.registration,
    ),
]
_PROPAGATE = "Slices with this mean probability prompt their neighbors (0: none)."
Propagate = Annotated[float | None, typer.Option(help=_PROPAGATE, show_default=f"{Defaults.propagate:g}")]
_MIN_PROBABILITY = "Drop a label from a slice where its mean probability is lower (0: never)."
MinProbability = Annotated[float | None, typer.Option(help=_MIN_PROBABILITY, show_default="calibrated on the prompts")]
Ensemble = Annotated[
    int | None, typer.Option(min=1, help="Predictions to average.", show_default=str(Defaults.members))
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of random choices.", show_default=str(Defaults.seed))]

# How predictions are written, and DICOM.
SeriesChoice = Annotated[
    str,
    typer.Option(metavar="UID", help="DICOM series, by its UID or the end of it; largest; or all, each a query."),
]
VolumeChoice = Annotated[
    str,
    typer.Option("--volume", metavar="N", help="Of files with several volumes (time points): a number from 0, or all."),
]
ValueForNan = Annotated[float | None, typer.Option("--nan", help="Value for NaN in images.", show_default="refused")]
DatasetName = Annotated[
    str | None, typer.Option("-d", "--dataset", help="Prompts from nnUNet_raw: the id or name of a data set.")
]
FileFormat = Annotated[str, typer.Option("--format", help=f"{_FORMATS}.", show_default="same, and nifti for DICOM")]
Codes = Annotated[
    Path | None,
    typer.Option(help="CSV of what labels mean in DICOM: label (value or name), scheme, value, meaning."),
]
Outlines = Annotated[bool, typer.Option("--outlines", help="Also write NAME_outlines/, DICOM pictures with outlines.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite/--resume", help="Also predict what is done with the same options, or keep it.")
]
CrossCheck = Annotated[
    bool, typer.Option("--cross-check", help="Also answer each prompt from the others, for report.html.")
]
QualityTable = Annotated[
    bool, typer.Option("--quality", help="Also write quality.csv: the estimated Dice of each prediction.")
]
UncertaintyMap = Annotated[
    bool, typer.Option("--uncertainty", help="Also write NAME_uncertainty.nii.gz, from 0 (certain) to 1.")
]
ProbabilityMaps = Annotated[
    bool, typer.Option("--probabilities", help="Also write NAME_probabilities.nii.gz, classes on the last axis.")
]

TaskName = Annotated[
    str | None,
    typer.Option(
        help=f"What the prompts show: {KINDS}; with channels KIND:CHANNEL or KIND:FROM->TO.",
        show_default="segmentation for integer targets",
    ),
]

# How the queries of a batch are shared among processes and machines.
Engine = Annotated[
    str, typer.Option(metavar="NAME", help="Where queries are predicted: local, or ray[=ADDRESS] for a Ray cluster.")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes or actors, each with one thread.")]
NumParts = Annotated[int, typer.Option(min=1, help="Parts of the queries; merge their records by mvg merge.")]
PartId = Annotated[int | None, typer.Option(min=0, help="Which part to predict, from 0.")]
