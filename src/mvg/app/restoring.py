"""`mvg degrade`, `mvg measure` and `mvg reconstruct`: pairs for restoration, raw data, and pictures from raw data."""

from pathlib import Path
from typing import Annotated

import typer

from mvg.app.display import print_line, progress_bars
from mvg.app.options import Device, Quiet

Level = Annotated[float | None, typer.Option(help="How strongly, as 'mvg tasks' and the docs list it.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of what is random.")]


def degrade(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A restoration kind, such as super_resolution.")],
    clean: Annotated[list[Path], typer.Argument(metavar="CLEAN", help="Clean images.")],
    output: Annotated[Path, typer.Option(help="New folder of prompts: images/ and targets/.")],
    level: Level = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Make example pairs of clean images: degraded ones and the clean ones, as 'mvg predict --prompts' takes them."""
    from mvg.app.raw_files import write_pairs

    note = write_pairs(kind, clean, output, level, seed)
    if not quiet:
        print_line(note)
        print(output)


def measure(
    clean: Annotated[Path, typer.Argument(metavar="CLEAN", help="A complete image.")],
    output: Annotated[Path, typer.Option(metavar="FILE.h5", help="The raw data, in HDF5.")],
    operator: Annotated[str, typer.Option(help="kspace (MR), or views (CT in HU).")] = "kspace",
    level: Annotated[
        float | None,
        typer.Option(
            help="kspace: 1 line in so many; views: their number, negative over 120 degrees.",
            show_default="4, or 60 views",
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Simulate incomplete raw data of an image, to try 'mvg reconstruct' on."""
    from mvg.app.raw_files import write_raw

    write_raw(clean, output, operator, level, seed)
    print(output)


def reconstruct(
    raw: Annotated[list[Path], typer.Argument(metavar="RAW", help="Raw data in HDF5: kspace, or sinogram and angles.")],
    prompts: Annotated[
        Path, typer.Option(help="Folder of complete images of other patients, or with them in targets/.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the volumes, NAME.nii.gz.")],
    rounds: Annotated[int, typer.Option(min=0, max=8, help="How often the model predicts.")] = 2,
    smoothing: Annotated[int, typer.Option(min=0, max=100, help="Steps of total variation before.")] = 15,
    weights: Annotated[str, typer.Option(help="Id or folder.")] = "tiny",
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Reconstruct pictures from incomplete raw data; they agree with what was measured."""
    from mvg.app.raw_files import RawRequest, reconstruct_files
    from mvg.prediction.output_files import output_folder

    with output_folder(output), progress_bars(quiet) as on_progress:
        request = RawRequest(tuple(raw), prompts, output, rounds, smoothing, weights, device)
        for path in reconstruct_files(request, on_progress):
            print(path)
