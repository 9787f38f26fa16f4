"""What requests hold, as OpenAPI documents it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mvg.server.diffs import UNKNOWN, from_runs, unpacked
from mvg.server.ras import RasGrid
from mvg.server.refusals import RefusedError
from mvg.server.strokes import SliceEdit
from mvg.server.task_records import LabelEntry

_MOST_SLICES = 64
_MOST_RUNS = 200_000


class Body(BaseModel):
    """A request without unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LoginBody(Body):
    """The token that the server printed."""

    token: str = Field(max_length=1000)


class LabelBody(Body):
    """A label; value and color may be left out."""

    name: str
    value: int | None = None
    color: str | None = None

    def entry(self) -> LabelEntry:
        """The label as tasks take it."""
        return LabelEntry(self.name, self.value, self.color)


class TaskBody(Body):
    """A new task."""

    name: str
    kind: str = "segmentation"
    labels: list[LabelBody] = []


class TaskChanges(Body):
    """What shall change of a task."""

    name: str | None = None
    labels: list[LabelBody] | None = None


class ExampleBody(Body):
    """A study as example: with the labels beside it, or with another study as target."""

    study: str
    target: str | None = None


class SessionBody(Body):
    """Which study shall be opened for which task."""

    task: str
    study: str


Run = Annotated[list[int], Field(min_length=3, max_length=3)]


class SliceBody(Body):
    """A slice in RAS order: runs of [start, length, class number], or all pixels as base64 of zlib; 255 is unknown."""

    axis: Literal[0, 1, 2]
    index: int = Field(ge=0)
    rest: Literal["unknown", "background"] = "unknown"
    runs: list[Run] | None = Field(default=None, max_length=_MOST_RUNS)
    zlib: str | None = None

    def edit(self, grid: RasGrid) -> SliceEdit:
        """The slice on a study's grid. Raises MvgErrors, RefusedError for neither or both of runs and zlib."""
        if self.index >= grid.shape[self.axis]:
            raise RefusedError(
                422, f"slice {self.index} across axis {self.axis}", f"0 to {grid.shape[self.axis] - 1}",
                "correct the index",
            )  # fmt: skip
        shape = grid.slice_shape(self.axis)
        if (self.runs is None) == (self.zlib is None):
            raise RefusedError(422, "a slice with both or neither of runs and zlib", "one of them", "send one")
        if self.zlib is not None:
            return SliceEdit(self.axis, self.index, unpacked(self.zlib, shape))
        rest = UNKNOWN if self.rest == "unknown" else 0
        runs = [(start, length, number) for start, length, number in self.runs or ()]
        return SliceEdit(self.axis, self.index, from_runs(runs, rest, shape))


class CorrectionBody(Body):
    """One step of corrections; stroke: a name of the sender's, with which it may send the step again."""

    slices: list[SliceBody] = Field(min_length=1, max_length=_MOST_SLICES)
    stroke: str | None = Field(default=None, max_length=100)


class CopyBody(Body):
    """Which slice shall be copied to which."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    axis: Literal[0, 1, 2]
    source: int = Field(alias="from", ge=0)
    target: int = Field(alias="to", ge=0)


class SliceName(Body):
    """One slice."""

    axis: Literal[0, 1, 2]
    index: int = Field(ge=0)


class PredictBody(Body):
    """Options of a prediction; there are none yet besides where it begins, which the newest correction decides."""

    around: int | None = None


class FinishBody(Body):
    """Whether a finished study also becomes an example of the task."""

    example: bool = False


class BatchBody(Body):
    """Which studies shall be predicted: their ids, "new" without a prediction, "all" neither corrected nor done."""

    task: str
    studies: list[str] | Literal["new", "all"] = "new"
