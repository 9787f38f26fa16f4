"""`mvg tasks`: the kinds of tasks that there are."""

from collections.abc import Iterator

from mvg._plugins import contributions
from mvg.tasks import kinds, spec_of


def task_lines() -> Iterator[str]:
    """One line per kind: its name, how many images it takes, what it predicts, and its file's first sentence."""
    for name, module in contributions(kinds).items():
        spec = spec_of(name)
        images = "1 image" if spec.inputs == 1 else f"{spec.inputs} images"
        summary = " ".join((module.__doc__ or "").split("\n\n")[0].split())
        yield f"{name:<16} {images} -> {spec.target_type:<7} {summary}".rstrip()
