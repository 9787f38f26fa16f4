"""The tables of `docs/scale.md`: a million studies and ten million slices, computed from what was measured here.

python -m profiling.scale            # writes the tables into docs/scale.md
"""

from collections.abc import Sequence

from profiling.committed import ROOT, measured

PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- tables of profiling/scale.py -->", "<!-- end of the tables -->"

STUDIES, SLICES = 1_000_000, 10_000_000
STUDY_BYTES = 70e6  # 512 x 512 x 128 voxels of 16 bits are 67 MB; compressed files are smaller
ANSWER_BYTES = 0.5e6  # a label map, compressed
SLICE_BYTES = 512 * 512 * (2 + 1) + 3 * 1024  # image, labels, and their headers in a shard
CORE_HOUR, TERABYTE_MONTH = 0.04, 20.0  # assumed prices in dollars
LINK = 1.25e9  # bytes a second of one link of 10 gigabits
LATENCY, READ_AHEAD, SLICES_PER_STEP = 0.05, 8, 16
EPOCHS = 10
SECONDS_PER_DAY = 86400


def tables() -> str:
    """All tables in Markdown."""
    return "\n\n".join([_prediction(), _storage(), _training()])


def _prediction() -> str:
    seconds = measured("pipeline.json")["runs"]["new, one thread"]["processor_seconds"]["query"]
    rows = []
    for cores in (1, 100, 1000, 10000):
        per_second = cores / seconds
        rows.append(
            (
                f"{cores:,}",
                f"{STUDIES / per_second / SECONDS_PER_DAY:,.1f}",
                f"{per_second * STUDY_BYTES / 1e6:,.0f}",
                f"{100 * per_second * STUDY_BYTES / LINK:,.1f} %",
                f"{STUDIES * seconds / 3600 * CORE_HOUR:,.0f}",
            )
        )
    title = f"One million studies of 512 x 512 x 128 voxels, {seconds:.1f} processor seconds each (`pipeline.json`):"
    head = ("cores", "days", "MB/s read", "of a link of 10 Gbit/s", "dollars of cores")
    return f"{title}\n\n{_table(head, rows)}"


def _storage() -> str:
    rows = [
        ("studies, raw", f"{STUDIES * STUDY_BYTES / 1e12:,.1f}"),
        ("answers", f"{STUDIES * ANSWER_BYTES / 1e12:,.1f}"),
        ("ten million slices as shards", f"{SLICES * SLICE_BYTES / 1e12:,.1f}"),
        ("index of ten million slices", f"{SLICES * 60 / 1e12:,.4f}"),
    ]
    priced = [
        (name, terabytes, f"{float(terabytes.replace(',', '')) * TERABYTE_MONTH:,.0f}") for name, terabytes in rows
    ]
    return f"Storage:\n\n{_table(('what', 'TB', 'dollars a month'), priced)}"


def _training() -> str:
    training = measured("speed.json")["training"]
    requests = SLICES * EPOCHS / 4
    rows = []
    for processes in (1, 8, 64, 512):
        needed = processes * training["samples_per_second"] * 4
        reachable = processes * READ_AHEAD / LATENCY
        rows.append(
            (
                f"{processes:,}",
                f"{requests / (processes * training['samples_per_second']) / SECONDS_PER_DAY:,.0f}",
                f"{needed:,.0f}",
                f"{reachable:,.0f}",
                f"{needed * SLICE_BYTES / 1e6:,.0f}",
            )
        )
    title = (
        f"Ten passes over ten million slices with `tiny`, {training['samples_per_second']:.1f} requests of four slices "
        f"a second on one core (`speed.json`), read at {1000 * LATENCY:.0f} ms of latency with `read_ahead = "
        f"{READ_AHEAD}`:"
    )
    head = ("processes", "days", "slices/s needed", "slices/s reachable", "MB/s read")
    return f"{title}\n\n{_table(head, rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
