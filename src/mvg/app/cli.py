"""The command line: parses, calls, prints.

Exit codes: 0 fine; 1 some queries failed, the others were written, or tuning did not help and nothing was; 2 nothing
could be done (usage, set-up, or every query failed). Only what a command needs is imported, inside of it, so that help
is instant.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

import mvg
from mvg.app.display import progress_bars
from mvg.app.weights import app as weights_app
from mvg.errors import MvgError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Medical vision generalist: show a few example pairs, get the same done to new medical images.",
    epilog="Research use only; not a medical device.",
)
app.add_typer(weights_app, name="weights")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors alone.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto for the fastest there is.")]


def main() -> None:
    """Run the command line; problems that the user can mend are told in one line, with exit code 2."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)  # what libraries say of a file is in the one line that we print
    try:
        app()
    except MvgError as problem:
        _tell(str(problem))
        sys.exit(2)
    except OSError as problem:  # what we open ourselves is told by what it is; this is left
        why = problem.strerror or problem
        _tell(f"'{problem.filename or 'a file'}' cannot be used ({why}); expected access to it; check its permissions.")
        sys.exit(2)


@app.callback(invoke_without_command=True)
def _global(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(mvg.__version__)
        raise typer.Exit


@app.command()
def predict(
    queries: Annotated[list[Path], typer.Argument(metavar="QUERY", help="Files, or folders of one DICOM series each.")],
    prompts: Annotated[
        Path, typer.Option(help="Folder in the nnU-Net raw layout or with images/ and targets/; or a .mvgtask file.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the answers: OUTPUT/NAME of each query, in its format.")],
    task: Annotated[
        str | None, typer.Option(help="What the prompts show, e.g. segmentation, synthesis:T1->T2; else inferred.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Id or folder.", show_default="tiny")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="How prompts are chosen for a slice.", show_default="alike_nearby")
    ] = None,
    num_prompts: Annotated[int | None, typer.Option(min=1, help="At most so many per slice.", show_default="8")] = None,
    look: Annotated[
        str | None, typer.Option(help="whole, or close: small and fine labels are asked again.", show_default="close")
    ] = None,
    propagate: Annotated[
        float | None,
        typer.Option(help="Slices so sure (0 to 1) join their neighbours' prompts.", show_default="none"),
    ] = None,
    reject: Annotated[
        float | None,
        typer.Option(help="Drop labels less sure in a slice (0 to 1; 0: none).", show_default="as prompts tell"),
    ] = None,
    device: Device = "auto",
    quality: Annotated[
        bool, typer.Option("--quality", help="Also write quality.csv: an estimate of each answer's Dice.")
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write NAME_uncertainty.nii.gz, 0 (sure) to 1.")
    ] = False,
    ensemble: Annotated[
        int | None, typer.Option(min=1, help="Answers that are averaged.", show_default="1, or 4 with --uncertainty")
    ] = None,
    tune_seconds: Annotated[
        float, typer.Option("--tune", min=0, help="Learn the prompts for so many seconds first; kept if it helps.")
    ] = 0,
    save_task: Annotated[
        Path | None, typer.Option(help="Also save the prompts, encoded, as this .mvgtask file.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of every random choice.", show_default="0")] = None,
    quiet: Quiet = False,
) -> None:
    """Do to each QUERY what the prompts show; DICOM is answered as .nii.gz, labels for JPEG as .png."""
    from mvg.app.predicting import OutputOptions, answer_files
    from mvg.prediction.batch import output_folder
    from mvg.prediction.request import prepare_request

    zoom = look and {"close": "auto", "whole": "off"}.get(look, look)
    used = {
        "strategy": strategy, "num_prompts": num_prompts, "members": ensemble, "seed": seed, "zoom": zoom,
        "propagate": propagate, "min_probability": reject,
    }  # fmt: skip
    with output_folder(output), progress_bars(quiet) as show:
        request = prepare_request(prompts, task, weights, device, queries, show, zoom)
        wishes = OutputOptions(uncertainty, quality, tune_seconds, save_task)
        done = answer_files(request, queries, output, used, wishes, show)
    if not quiet:
        for line in done.notes:
            _tell(line)
        for path in done.written:
            print(path)
    _tell_problems([outcome.problem for outcome in done.outcomes if outcome.problem is not None], len(done.outcomes))


@app.command()
def prepare(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Data sets, published or nnU-Net's layout.")],
    output: Annotated[Path, typer.Option(help="The store: one folder per data set is made in it.")] = Path("store"),
    held_out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="{set: [patients or cases]} that must not be among them.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Cut data sets into slices for training; run it again to go on after an interruption."""
    from mvg.data.held_out import read_held_out
    from mvg.data.preparation import prepare as prepare_sets

    with progress_bars(quiet) as show:
        told = prepare_sets(folders, output, show, None if held_out is None else read_held_out(held_out))
    for line in () if quiet else told:
        _tell(line)
    if not quiet:
        print(output)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train, on what, and how.")],
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Train for so long instead of what the recipe says.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    processes: Annotated[int, typer.Option(min=1, help="Devices to train on.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME of the recipe")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train as a recipe says; writes curves, pictures, checkpoints and, in the end, weights for `mvg predict`."""
    from mvg.app.training import run_recipe

    with progress_bars(quiet) as show:
        weights = run_recipe(recipe, minutes, device, processes, output, resume, show)
    if not quiet:
        print(weights)


@app.command()
def finetune(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="Folder of pairs, as for predict.")],
    output: Annotated[Path, typer.Option(help="New folder for the weights, to be named with --weights.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to learn.")] = 5,
    task: Annotated[str | None, typer.Option(help="What the pairs show; else inferred.")] = None,
    weights: Annotated[str | None, typer.Option(help="Id or folder to start from.", show_default="tiny")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Tune weights on one or more cases; written only where they answer pairs (of three, one held back) better."""
    from mvg.app.finetuning import finetune as learn

    with progress_bars(quiet) as show:
        said = learn(prompts, output, 60 * minutes, task, weights, device, show)
    if not (quiet and said.kept):
        _tell(said.message)
    if not said.kept:
        raise typer.Exit(1)
    if not quiet:
        print(output)


@app.command()
def benchmark(
    suite: Annotated[Path, typer.Argument(metavar="SUITE.toml", help="Methods, sets, tasks, budget and metrics.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data sets, one folder each.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for results and report.html.", show_default="runs/NAME of the suite"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Learn for so long instead of what the suite says.")
    ] = None,
    device: Device = "auto",
    processes: Annotated[int, typer.Option(min=1, help="Jobs at a time.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Judge methods as a suite says; run it again to go on after an interruption."""
    from dataclasses import replace

    from mvg.benchmark.run import run_suite
    from mvg.benchmark.suite import read_suite

    read = read_suite(suite)
    if minutes is not None:
        read = replace(read, minutes=minutes, samples=0)
    command = " ".join(["mvg", *sys.argv[1:]])
    with progress_bars(quiet) as show:
        report = run_suite(read, output or Path("runs") / read.name, data, device, processes, command, show)
    if not quiet:
        print(report)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the results and report.html.")] = Path("runs/demo"),
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run all four tasks on real images from public packages, with the shipped weights; writes a report."""
    from mvg.app.demo.run import run_demo

    with progress_bars(quiet) as show:
        report = run_demo(output, device, show)
    if not quiet:
        print(report)


def _tell_problems(problems: list[str], queries: int) -> None:
    """Each in its line; leaves with an exit code where there are any."""
    if len(problems) > 1 or (problems and queries > 1):
        _tell(f"{len(problems)} of {queries} queries failed:")
    for problem in problems:
        _tell(problem)
    if problems:
        raise typer.Exit(2 if len(problems) == queries else 1)


def _tell(line: str) -> None:
    print(f"mvg: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
