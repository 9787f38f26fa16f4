"""`mvg register`: a moving and a fixed image -> the warped image, the field and warped labels."""

from pathlib import Path
from typing import Annotated

import typer

from mvg.app.display import print_line, progress_bars
from mvg.app.options import Quiet


def register(
    moving: Annotated[Path, typer.Argument(metavar="MOVING", help="The image that is warped.")],
    fixed: Annotated[Path, typer.Argument(metavar="FIXED", help="The image that it is aligned with.")],
    output: Annotated[Path, typer.Option(help="Folder for warped, field and labels, each .nii.gz.")],
    labels: Annotated[Path | None, typer.Option(help="Labels of the moving image, to be warped too.")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Folder of examples: moving/, fixed/ and targets/ (warped images or fields), equal names."),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(help="affine, stiff or flexible.", show_default="flexible, or as the examples show"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Align MOVING with FIXED: the results lie on the grid of FIXED; fields are in mm, as ITK and ANTs read them."""
    from mvg.app.registering import RegistrationFiles, RegistrationRequest, register_files
    from mvg.prediction.output_files import output_folder

    with output_folder(output), progress_bars(quiet) as on_progress:
        files = RegistrationFiles(moving, fixed, output, labels)
        request = RegistrationRequest(prompts, transform)
        report = register_files(files, request, on_progress)
    if report.doubt is not None:
        print_line(report.doubt)
    if not quiet:
        print_line(report.note)
        for path in report.written:
            print(path)
