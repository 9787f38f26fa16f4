"""The options of prediction: one list for the API, the command line, the benchmark and task files."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mvg._plugins import named
from mvg.errors import PromptError, UnknownNameError
from mvg.prediction.selection import strategies

ZOOM = ("auto", "off")
THROUGH_PLANE = ("auto", "off")
REGISTRATION = ("auto", "off")
# Names in task files older than format 3.
_FORMER_NAMES = {"look": "zoom", "reject": "min_probability"}
_FORMER_ZOOM = {"close": "auto", "whole": "off"}


@dataclass(frozen=True)
class PredictionOptions:
    """How prompts are used to predict queries.

    strategy: how prompt slices are chosen for a query slice; num_prompts: how many at most. members: predictions
    that are averaged, each from other prompts, colors or mirrored; seed: of every random choice.
    zoom: "auto" predicts small and fine labels again at a higher magnification, "off" predicts whole slices only.
    through_plane: "auto" averages the probabilities of labels with those of the slices beside, where these look alike;
    "off" predicts each slice on its own.
    registration: "auto" registers up to three prompt volumes to the query and adds their labels as a prior, where they
    then resemble it; "off" does not.
    propagate: slices whose labels have at least this mean probability become prompts of their neighbors, which are
    then predicted again (0: never). min_probability: a label with a lower mean probability in a slice is removed there
    (0: never; None: the prompts determine a threshold for each label, see `refinement.rejection`).
    colors: for weights that learned fixed colors, one in (0, 1] per class; classes that share a color need one pass
    each (empty: colors as far apart as possible).
    uncertainty, probabilities: also compute them; this never changes the labels or pictures.

    Raises UnknownNameError for names and PromptError for values that are not possible.
    """

    strategy: str = "alike_nearby"
    num_prompts: int = 8
    members: int = 1
    seed: int = 0
    zoom: str = "auto"
    through_plane: str = "auto"
    registration: str = "off"
    propagate: float = 0.0
    min_probability: float | None = None
    colors: tuple[float, ...] = ()
    uncertainty: bool = False
    probabilities: bool = False

    def __post_init__(self) -> None:
        named(strategies, self.strategy)
        if self.zoom not in ZOOM:
            raise UnknownNameError("zoom", self.zoom, ZOOM)
        if self.through_plane not in THROUGH_PLANE:
            raise UnknownNameError("through-plane averaging", self.through_plane, THROUGH_PLANE)
        if self.registration not in REGISTRATION:
            raise UnknownNameError("registration of prompts", self.registration, REGISTRATION)
        for name, count in (("prompts", self.num_prompts), ("ensemble members", self.members)):
            if count < 1:
                raise PromptError(f"{count} {name}", "1 or more", "ask for at least one")
        for name, share in (("propagate", self.propagate), ("min_probability", self.min_probability or 0.0)):
            if not 0 <= share <= 1:
                raise PromptError(f"{name} = {share:g}", "a probability between 0 and 1", f"correct {name}")
        if self.seed < 0:
            raise PromptError(f"seed = {self.seed}", "0 or more", "choose another seed")
        if not all(0 < color <= 1 for color in self.colors):
            raise PromptError(f"colors {self.colors}", "colors above 0, at most 1", "correct the colors")

    @property
    def choice_of_prompts(self) -> tuple[object, ...]:
        """What decides which prompts a slice is shown, and in which colors: thresholds and gains hold for one of it."""
        return self.strategy, self.num_prompts, self.seed, self.colors

    @classmethod
    def from_saved(cls, values: Mapping[str, Any]) -> "PredictionOptions":
        """The options in a task file, under their present or their former names. Unknown names raise TypeError."""
        known = {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
        known["zoom"] = _FORMER_ZOOM.get(known["zoom"], known["zoom"])
        known["colors"] = tuple(known.get("colors", ()))
        if unknown := known.keys() - {field.name for field in fields(cls)}:
            raise TypeError(f"unknown options {', '.join(sorted(unknown))}")
        return cls(**known)
