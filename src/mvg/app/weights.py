"""`mvg weights`: the weights that ship and those that were installed."""

from pathlib import Path
from typing import Annotated

import typer

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


@app.command()
def pack(
    name: Annotated[str, typer.Argument(metavar="ID|PATH")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write them, for example lab.mvgweights.")],
) -> None:
    """Write weights as one file, to pass on."""
    from mvg.model.installed import pack_weights

    print(pack_weights(name, file))


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
