"""The names under which studies are listed and exported."""

from mvg.server.index import StudyRow
from mvg.server.uploads import upload_name
from mvg.server.workbench import Workbench


def study_name(bench: Workbench, row: StudyRow) -> str:
    """The path of a study, the name of an uploaded one, or for anonymous servers a part of its id."""
    if bench.settings.anonymous:
        return f"study {row.id[:6]}"
    return upload_name(bench.workspace, row.file) if row.file.origin == "upload" else row.file.path
