"""All that a server holds: the folder, its studies and tasks, one model, and the sessions that use it."""

import threading
from functools import cached_property
from pathlib import Path

import mvg
from mvg.prediction.huge_pages import return_memory
from mvg.prediction.predictor import Predictor
from mvg.server.batches import Batches
from mvg.server.device_queue import DeviceQueue
from mvg.server.events import Channel
from mvg.server.index import Index, Work
from mvg.server.library import Library
from mvg.server.session_files import SessionFiles
from mvg.server.session_pool import SessionPool
from mvg.server.settings import ServerSettings
from mvg.server.study_prediction import BatchPredictor
from mvg.server.task_models import TaskModels
from mvg.server.task_records import TaskRecords
from mvg.server.workspace import Workspace

_TIDY_SECONDS = 5.0


class Workbench:
    """One folder that is served. `open` before use, `close` in the end."""

    def __init__(self, settings: ServerSettings, predictor: Predictor | None = None) -> None:
        """predictor: instead of the weights that the settings name."""
        self.settings = settings
        self._given, self._loading = predictor, threading.Lock()
        self.workspace = Workspace(settings.folder)
        self.channel, self.queue = Channel(), DeviceQueue()
        self._closing = threading.Event()

    def open(self) -> None:
        """Lock the folder, read what lies in it, and begin to look for studies. Raises FileError."""
        self.workspace.open()
        self.index = Index(self.workspace.index)
        self.library = Library(self.workspace, self.index, self.channel)
        self.records = TaskRecords(self.workspace)
        self.models = TaskModels(self.workspace, self.library, self.records, lambda: self.predictor)
        self.sessions = SessionPool(
            self.workspace, self.library, self.records, self.models, self.queue, lambda: self.predictor, self.channel
        )
        studies = BatchPredictor(self.workspace, self.library, self.models, self.sessions, self.queue, self.channel)
        self.batches = Batches(self.workspace, self.channel, studies)
        self.index.replace_work(_work_in(self.workspace.tasks))
        self.library.rescan_in_background()
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
        threading.Thread(target=lambda: self.predictor, name="load", daemon=True).start()

    def close(self) -> None:
        """End what runs, close files and let another server use the folder."""
        self._closing.set()
        self.channel.close()
        self.batches.close()
        self.sessions.close()
        self.index.close()
        self.workspace.close()

    @property
    def predictor(self) -> Predictor:
        """The model, which is loaded on first use."""
        with self._loading:
            return self._predictor

    @cached_property
    def _predictor(self) -> Predictor:
        return self._given or mvg.load(self.settings.weights, self.settings.device)

    def _tidy(self) -> None:
        while not self._closing.wait(_TIDY_SECONDS):
            self.sessions.release_idle()
            self.sessions.release_outdated()
            self.sessions.limit_features()
            self.sessions.make_room()
            return_memory()


def _work_in(tasks: Path) -> list[tuple[str, str, Work]]:
    """How far each study is for each task, from the files of the sessions."""
    rows = []
    for folder in sorted(tasks.glob("*/sessions/*")):
        if folder.is_dir():
            rows.append((folder.parent.parent.name, folder.name, SessionFiles(folder).work()))
    return rows
