"""The command line: parses, calls, prints.

Exit codes: 0 success; 1 some queries failed and the others were written, or tuning did not help and nothing was
written; 2 nothing could be done (usage, setup, or every query failed). Each command imports what it needs, so that help
is instant: nothing above the commands imports PyTorch.
"""

import errno
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

import mvg
from mvg.app.display import print_line, print_notes, progress_bars, warnings_as_lines
from mvg.app.evaluating import evaluate
from mvg.app.onnx_export import export
from mvg.app.options import KINDS, Device, Quiet, SeriesChoice, Strict, ValueForNan, VolumeChoice
from mvg.app.packing import pack_store
from mvg.app.predict import predict
from mvg.app.register import register
from mvg.app.restoring import degrade, measure, reconstruct
from mvg.app.usage import UsageError, check_renamed, exit_with_usage
from mvg.app.weights import app as weights_app
from mvg.errors import MvgError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Medical vision generalist: takes a few example pairs and does the same to new medical images.",
    epilog="Research use only; not a medical device.",
)
app.add_typer(weights_app, name="weights")


def main() -> None:
    """Run the command line; an error that the user can correct is printed as one line, with exit code 2."""
    warnings.simplefilter("ignore")
    try:
        with warnings_as_lines():
            check_renamed(sys.argv[1:])
            code = app(prog_name="mvg", standalone_mode=False)
    except UsageError as error:
        exit_with_usage(error)
    except typer.Abort:
        print_line("interrupted; nothing is half-written; run the command again to go on.")
        sys.exit(1)
    except MvgError as error:
        print_line(str(error))
        sys.exit(2)
    except OSError as error:  # files that mvg itself opens have errors of their own
        print_line(_of_system(error))
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _of_system(error: OSError) -> str:
    reason, name = error.strerror or error, error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"'{name}' could not be written ({reason}); expected space on its disk; free some."
    return f"'{name}' cannot be used ({reason}); expected access to it; check its permissions."


@app.callback(invoke_without_command=True)
def _global(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(mvg.__version__)
        raise typer.Exit


for command in (predict, register, pack_store, degrade, measure, reconstruct, export):
    app.command()(command)


@app.command()
def merge(output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder of predictions.")]) -> None:
    """Join the records of the parts of `mvg predict --num-parts` to OUTPUT/manifest.json."""
    from mvg.prediction.parts import merge as merge_parts

    print(merge_parts(output))


@app.command()
def check(
    prompts: Annotated[Path, typer.Argument(metavar="FOLDER", help="Prompts, as for predict.")],
    queries: Annotated[list[Path] | None, typer.Argument(metavar="[QUERY]...", help="Images, as for predict.")] = None,
    task: Annotated[str | None, typer.Option(help=f"What the prompts show: {KINDS}.", show_default="inferred")] = None,
    series: SeriesChoice = "",
    volume: VolumeChoice = "",
    nan: ValueForNan = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Strict = False,
) -> None:
    """List what is read in each file, and what is odd: other intensities, planes, sizes, labels, or copies."""
    from mvg.app.checking import CheckRequest
    from mvg.app.checking import check as check_files
    from mvg.imaging.missing_values import replacing_nan

    with replacing_nan(nan):
        report = check_files(CheckRequest(prompts, queries or [], task, series, volume))
    for line in [report.as_json()] if as_json else report.lines():
        print(line)
    for error in report.errors:
        print_line(error)
    if report.errors or (strict and report.oddities):
        raise typer.Exit(2 if report.errors else 1)


@app.command("tasks")
def list_tasks() -> None:
    """List the kinds of tasks, which --task names."""
    from mvg.app.tasks import task_lines

    for line in task_lines():
        print(line)


@app.command("export-nnunet")
def export_nnunet(
    queries: Annotated[list[Path], typer.Argument(metavar="QUERY", help="Images that were predicted and checked.")],
    labels: Annotated[Path, typer.Option(help="Folder of their label maps, by the queries' names.")],
    output: Annotated[Path, typer.Option(metavar="DatasetNNN_NAME", help="New folder of the data set.")],
    prompts: Annotated[Path | None, typer.Option(help="Prompts folder that names the labels.")] = None,
    series: SeriesChoice = "",
    volume: VolumeChoice = "",
    quiet: Quiet = False,
) -> None:
    """Write finished answers as a raw data set of nnU-Net, to train a specialist on."""
    from mvg.app.exporting import Answered, export_data_set

    lines = export_data_set(Answered(queries, labels, series, volume), output, prompts)
    if not quiet:
        print_notes(lines, [output])


@app.command()
def prepare(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Data sets, published or nnU-Net's layout.")],
    output: Annotated[Path, typer.Option(help="The store, with a folder for each data set.")] = Path("store"),
    held_out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="{set: [patients or cases]} that must not be in it.")
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Also write WebDataset tar shards: a folder, or a URL like s3://."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Cut data sets into slices for training; after an interruption, run it again to continue."""
    from mvg._remote import public
    from mvg.data.held_out import read_held_out
    from mvg.data.preparation import prepare as prepare_sets
    from mvg.data.shards import write_shards

    with progress_bars(quiet) as on_progress:
        notes = prepare_sets(folders, output, on_progress, None if held_out is None else read_held_out(held_out))
    written = write_shards(output, shards) if shards is not None else []
    if not quiet:
        print_notes(notes, [output, *map(public, written)])


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train, on what, and how.")],
    minutes: Annotated[float | None, typer.Option(min=0, help="Training time, instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    processes: Annotated[int, typer.Option(min=1, help="Devices to train on, of each node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, on each of which torchrun starts this command.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME of the recipe")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only check data, memory and disk, and print the plan.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train as a recipe says; writes curves, pictures, checkpoints and finally weights for `mvg predict`."""
    from mvg.app.training import RunRequest, plan_lines, run_recipe

    request = RunRequest(device, processes, nodes, output, resume)
    if dry:
        for line in plan_lines(recipe, minutes, request):
            print(line)
        return
    with progress_bars(quiet) as on_progress:
        weights = run_recipe(recipe, minutes, request, on_progress)
    if not quiet:
        print(weights)


@app.command()
def finetune(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="Folder of pairs, as for predict.")],
    output: Annotated[Path, typer.Option(help="New folder for task.mvgtask; name that file with --prompts.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Training time.")] = 5,
    task: Annotated[str | None, typer.Option(help=f"What the pairs show: {KINDS}.", show_default="inferred")] = None,
    weights: Annotated[str | None, typer.Option(help="Id or folder.", show_default="tiny")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train an adapter on pairs; a task is written only if it predicts pairs better that it was not trained on."""
    from mvg.app.finetuning import TASK_FILE
    from mvg.app.finetuning import finetune as tune_task
    from mvg.prediction.request import PromptSource

    source = PromptSource(prompts, task, weights, device)
    with progress_bars(quiet) as on_progress:
        tuning = tune_task(source, output, 60 * minutes, on_progress)
    if not (quiet and tuning.kept):
        print_line(tuning.message)
    if not tuning.kept:
        raise typer.Exit(1)
    if not quiet:
        print(output / TASK_FILE)


app.command()(evaluate)


@app.command()
def benchmark(
    suite: Annotated[Path, typer.Argument(metavar="SUITE.toml", help="Methods, sets, tasks, budget and metrics.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data sets, one folder each.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for results and report.html.", show_default="runs/NAME of the suite"),
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Training time, instead of the suite's.")] = None,
    device: Device = "auto",
    processes: Annotated[int, typer.Option(min=1, help="Jobs at the same time.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Compare methods as a suite says; after an interruption, run it again to continue."""
    from dataclasses import replace

    from mvg.benchmark.run import RunSettings, run_suite
    from mvg.benchmark.suite import read_suite

    contents = read_suite(suite)
    if minutes is not None:
        contents = replace(contents, minutes=minutes, samples=0)
    command, folder = " ".join(["mvg", *sys.argv[1:]]), output or Path("runs") / contents.name
    with progress_bars(quiet) as on_progress:
        report = run_suite(contents, RunSettings(folder, data, device, processes, command), on_progress)
    if not quiet:
        print(report)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the results and report.html.")] = Path("runs/demo"),
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run all tasks on real images from public packages, with the shipped weights; writes a report."""
    from mvg.app.demo.run import run_demo

    with progress_bars(quiet) as on_progress:
        report = run_demo(output, device, on_progress)
    if not quiet:
        print(report)


@app.command()
def serve(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Studies: files, folders of DICOM.", show_default="here")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address; another than this machine's needs --token.")] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(help="What requests must carry, 16 characters or more; 'new' makes one.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Id or folder.")] = "tiny",
    device: Device = "auto",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Hide names and headers of studies.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Serve the demo's images instead of a folder.")] = False,
) -> None:
    """Label, correct and export the studies of a folder in the browser."""
    from mvg.app.serving import demo_folder, serve_folder, token_of
    from mvg.server.settings import ServerSettings

    if demo and folder is not None:
        raise MvgError("--demo and a folder", "one of them", "leave one out")
    chosen = demo_folder() if demo else folder or Path()
    settings = ServerSettings(chosen, host, port, weights, device, token_of(token), anonymous, demo)
    serve_folder(settings, opens_browser=not no_browser)


if __name__ == "__main__":
    main()
