"""The devices that there are to run on."""

import torch

from mvg.errors import UnknownNameError


def device_named(name: str) -> torch.device:
    """The device of that name ("cpu", "cuda", "cuda:1", "mps"), or the fastest there is for "auto".

    Raises UnknownNameError, which lists those that are there.
    """
    there = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    there = [*(["cuda"] if there else []), *there, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise UnknownNameError("device here", name, ["auto", *there])
    return torch.device(name)
