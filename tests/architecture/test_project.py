"""The project's metadata: one version, and a pin for everything that `make` installs."""

import tomllib
from typing import Any

import mvg
from tests.architecture.sources import ROOT


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_versions_agree() -> None:
    assert project()["version"] == mvg.__version__


def test_every_range_has_a_pin() -> None:
    """What `make` installs is pinned, so that two clones a year apart install the same."""
    extras = {name: ranges for name, ranges in project()["optional-dependencies"].items() if name != "nnunet"}
    ranges = [*project()["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {one.split(">=")[0].split("[")[0].lower().replace("_", "-") for one in ranges} - {"mvg"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names - pinned == set()
