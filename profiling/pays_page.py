"""Writes docs/results/pays.md and its plots, what more of what a user gives pays, from committed result files.

python -m profiling.pays_page

Suites' first lines name their commits. Intervals are bootstrap intervals by patient.
"""

from profiling.committed import RESULTS
from profiling.pays import cores, prompts, seconds, slices
from profiling.pays.text import Part, head, row

PAGE = RESULTS / "pays.md"
PLOTS = RESULTS / "plots"

_HEAD = """# What pays

What more of what a user can give brings: example cases, annotated slices, seconds of tuning and cores, one curve each.
Points are means over sets, bars 95 % bootstrap intervals by patient over few patients, faint lines single sets. The
weights are those that shipped at the commit of each file, so compare within a plot. Written by
`python -m profiling.pays_page` from committed files; what single options cost is on [another page](cost.md).
"""


def main() -> None:
    """Write the page and its plots."""
    PLOTS.mkdir(exist_ok=True)
    for name, content in plots().items():
        (PLOTS / name).write_text(content, encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page in Markdown."""
    parts = _parts()
    short = [row(part.given, part.pays, part.does_not, part.aims) for part in parts]
    sections = ["\n".join([*part.lines, ""]) for part in parts]
    return "\n".join([_HEAD, head("more of", "pays", "does not pay", "aims"), *short, "", *sections])


def plots() -> dict[str, str]:
    """The plots of the page: file name -> SVG."""
    return {name: content for part in _parts() for name, content in part.plots.items()}


def _parts() -> list[Part]:
    return [prompts.part(), slices.part(), slices.enough(), seconds.part(), cores.part()]


if __name__ == "__main__":
    main()
