"""The devices of this machine."""

import torch

from mvg.errors import UnknownNameError


def device_named(name: str) -> torch.device:
    """The device of that name ("cpu", "cuda", "cuda:1", "mps"), or the fastest one for "auto".

    Raises UnknownNameError, which lists the devices of this machine.
    """
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    available = [*(["cuda"] if gpus else []), *gpus, *mps, "cpu"]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise UnknownNameError("device here", name, ["auto", *available])
    return torch.device(name)
