"""The pages name files, options and minutes that exist."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import typer

from mvg.app import bare
from mvg.app.cli import app
from mvg.prediction.options import PredictionOptions
from mvg.training.recipe_names import RENAMED

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md"]
HISTORY = (DOCS / "log.md", DOCS / "results" / "README.md")  # they name files as they were
_PATH = re.compile(r"`((?:src/mvg|tests|docs|recipes|suites|profiling)/[\w./-]*)`")
_MODULE = re.compile(r"`((?:imaging|data|tasks|model|training|prediction|benchmark|app)/[\w/]+(?:\.py|/))`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_STOP = re.compile(r"^\| `([\w/]+\.py)` \| (\d+) \|", re.MULTILINE)
_SECTION = re.compile(r"^## [^:\n]+: (\d+) minutes$", re.MULTILINE)


def module_of(path: Path) -> ModuleType:
    """A script of the documentation, imported by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=lambda page: page.stem)
def test_the_paths_on_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = [ROOT / path for path in _PATH.findall(text)] + [ROOT / "src/mvg" / path for path in _MODULE.findall(text)]
    assert [path for path in paths if not path.exists()] == []


def test_the_stops_of_the_tour_exist_and_their_minutes_add_up() -> None:
    start, *sections = re.split(r"^(?=## )", (DOCS / "tour.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    totals = _SECTION.findall("".join(sections))
    assert f" {sum(map(int, totals))} minutes" in start
    for section in sections:
        stops = _STOP.findall(section)
        assert [path for path, _ in stops if not (ROOT / "src" / "mvg" / path).is_file()] == []
        (total,) = _SECTION.findall(section)
        assert sum(int(minutes) for _, minutes in stops) == int(total)


def test_the_options_on_the_pages_are_those_of_the_command_line() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    weights = group.commands["weights"]
    assert isinstance(weights, typer.core.TyperGroup)
    commands = [*group.commands.values(), *weights.commands.values()]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {option for action in bare.parser()._actions for option in action.option_strings}
    known |= {"--nnodes", "--nproc-per-node", "--node-rank", "--master-addr"}  # torchrun's
    for page in [*(DOCS / "how-to").glob("*.md"), DOCS / "benchmark.md", DOCS / "datasets.md"]:
        assert set(_OPTION.findall(page.read_text(encoding="utf-8"))) <= known, page.name


def test_the_figure_of_the_method_is_what_its_script_draws(tmp_path: Path) -> None:
    module_of(DOCS / "assets" / "method.py").write(tmp_path / "method.svg")
    assert (tmp_path / "method.svg").read_bytes() == (DOCS / "assets" / "method.svg").read_bytes()


def test_equations_become_mathml() -> None:
    page = r'<p>Solve <span class="arithmatex">\(a &lt; b\)</span>:</p><div class="arithmatex">\[ x_1 \]</div>'
    html = module_of(DOCS / "equations.py").on_page_content(page)
    assert "arithmatex" not in html
    inline, block = re.findall(r"<math.*?</math>", html)
    assert 'display="inline"' in inline
    assert "&#x0003C;" in inline
    assert 'display="block"' in block
    assert "<msub>" in block
    assert html.startswith("<p>Solve <math")


def test_the_changelog_names_every_renamed_key_of_recipes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for old, new in RENAMED.items():
        table, _, key = old.partition(".")
        assert f"| recipe, `[{table}]` | `{key}` | `{new.partition('.')[2]}` |" in text


def test_the_help_of_predict_states_the_defaults_of_prediction() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    stated = {option.name: str(getattr(option, "show_default", "")) for option in group.commands["predict"].params}
    defaults = PredictionOptions()
    for name in ("strategy", "num_prompts", "zoom", "propagate", "seed"):
        assert stated[name] == f"{getattr(defaults, name)}".removesuffix(".0"), name
    assert stated["ensemble"] == str(defaults.members)


@pytest.mark.parametrize("page", sorted((DOCS / "results").rglob("*.html")), ids=lambda path: path.parent.name)
def test_no_report_shows_images_of_data_that_are_not_ours(page: Path) -> None:
    """Reports are written beside `results.jsonl` alone; those beside contact sheets embed them."""
    assert "data:image/png" not in page.read_text(encoding="utf-8")
