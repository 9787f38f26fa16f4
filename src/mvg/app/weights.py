"""`mvg weights`: the weights that ship and those that were installed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mvg.app.display import OnProgress
    from mvg.app.fusion import Fitting
    from mvg.data.held_out import HeldOut
    from mvg.model.weights import WeightsInfo

    Fit = Callable[[Sequence[Path], str, Path, Fitting, OnProgress], WeightsInfo]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Weights that ship with mvg or were installed.")


@app.command("list")
def list_weights() -> None:
    """List the weights that ship with mvg, and those that were installed."""
    from mvg.model import weights

    for info in weights.list_weights():
        config = info.config
        print(f"{info.id:<16} {config.form} form, {config.size} pixels, {info.bytes / 1e6:.1f} MB  {_title(info.card)}")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="ID|PATH")]) -> None:
    """Show the card of weights: data, terms, recipe, figures, limits. Verifies their checksum."""
    from mvg.model import weights

    info = weights.verify_weights(name)
    print(f"{info.folder}\nsha256 {info.sha256} (verified), {info.bytes / 1e6:.1f} MB\n\n{info.card}".rstrip())


_Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Data sets with labeled volumes.")]
_Output = Annotated[Path, typer.Option(help="New folder for the weights.")]
_Weights = Annotated[str, typer.Option(help="Id or folder of the weights to fit it for.")]
_Minutes = Annotated[float, typer.Option(min=0.01, help="Processor time of fitting, after sampling.")]
_Seed = Annotated[int, typer.Option(min=0, help="Seed of random choices.")]
_HeldOutFile = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="{set: [patients or cases]} that must not be used.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is odd, and errors.")]


@app.command()
def fusion(
    folders: _Folders, output: _Output, weights: _Weights = "tiny", minutes: _Minutes = 30, seed: _Seed = 0,
    held_out: _HeldOutFile = None, quiet: _Quiet = False,
) -> None:  # fmt: skip
    """Fit learnt fusion, which answers the slices between annotated slices of a volume, on training patients."""
    from mvg.app.fusion import Fitting, fit_annotated

    _fitted(fit_annotated, folders, weights, output, Fitting(minutes, seed, _excluded(held_out)), quiet)


@app.command()
def through_plane(
    folders: _Folders, output: _Output, weights: _Weights = "tiny", minutes: _Minutes = 20, seed: _Seed = 0,
    held_out: _HeldOutFile = None, quiet: _Quiet = False,
) -> None:  # fmt: skip
    """Fit the network that joins the answers for a volume's slices, on training patients."""
    from mvg.app.fusion import Fitting, fit_answered

    _fitted(fit_answered, folders, weights, output, Fitting(minutes, seed, _excluded(held_out)), quiet)


def _excluded(held_out: Path | None) -> Sequence["HeldOut"]:
    from mvg.data.held_out import read_held_out

    return () if held_out is None else read_held_out(held_out)


def _fitted(fit: "Fit", folders: Sequence[Path], weights: str, output: Path, how: "Fitting", quiet: bool) -> None:
    from mvg.app.display import progress_bars

    with progress_bars(quiet) as on_progress:
        info = fit(folders, weights, output, how, on_progress)
    if not quiet:
        print(info.folder)


@app.command()
def imagenet(
    trunk: Annotated[Path, typer.Argument(metavar="FILE.pth", help="EfficientNet-lite0's weights for ImageNet.")],
    store: Annotated[Path, typer.Option(help="Prepared sets, whose images decide which features are kept.")],
    output: Annotated[Path, typer.Option(help="New folder for the weights.")],
    weights: Annotated[str, typer.Option(help="Id or folder of the weights to begin with.")] = "tiny",
    width: Annotated[int, typer.Option(min=1, max=256, help="How many features are kept.")] = 64,
) -> None:
    """Let a network also see features that photographs taught; train it on afterwards."""
    from mvg.app.pretrained import add_features

    print(add_features(trunk, weights, store, width, output).folder)


@app.command()
def pack(
    name: Annotated[str, typer.Argument(metavar="ID|PATH")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write them, for example lab.mvgweights.")],
    weights_id: Annotated[
        str, typer.Option("--id", help="Id under which they are installed.", show_default="their own")
    ] = "",
) -> None:
    """Write weights as one file, to pass on."""
    from mvg.model.installed import pack_weights

    print(pack_weights(name, file, weights_id))


@app.command()
def from_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of training, finished or not.")],
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the weights.")],
) -> None:
    """Write the averaged weights of a run's last checkpoint as weights."""
    from mvg.app.training import weights_of_run

    print(weights_of_run(run, output))


@app.command()
def install(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `mvg weights pack`, or a weights folder.")],
) -> None:
    """Install weights for this user; --weights then takes their id."""
    from mvg.model.installed import install_weights

    info = install_weights(source)
    print(f"{info.id}  {info.folder}")


def _title(card: str) -> str:
    """The first line of a card that is not empty."""
    return next((line.lstrip("# ").strip() for line in card.splitlines() if line.strip()), "")
