"""`mvg pack-store`: a prepared store as one small file, to train from on another machine."""

from pathlib import Path
from typing import Annotated

import typer

from mvg.app.display import print_line
from mvg.app.options import Quiet


def pack_store(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="What `mvg prepare` wrote.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Where to write it.")],
    mib: Annotated[float, typer.Option(min=0.01, help="Size that the file must not exceed, in MiB.")] = 24,
    side: Annotated[int, typer.Option(min=16, help="Side of its pictures in pixels, about.")] = 128,
    quiet: Quiet = False,
) -> None:
    """Pack the slices of training patients for `python -m mvg.app.bare`: fewer, smaller, of 256 levels."""
    from mvg.data.packed import pack_store as pack

    packed = pack(store, file, int(mib * 2**20), side)
    if not quiet:
        if packed.left_out:
            print_line(f"left out, since no patient of theirs is one to train on: {', '.join(packed.left_out)}.")
        slices = sum(packed.slices.values())
        print(f"{file}  {packed.bytes / 2**20:.1f} MiB, {slices} slices of {len(packed.slices)} sets")
