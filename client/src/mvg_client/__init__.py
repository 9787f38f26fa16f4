"""A client of the mvg workbench (`mvg serve`) for programs: numpy and httpx, neither PyTorch nor mvg.

with Workbench("http://127.0.0.1:8765") as bench:
    session = bench.open(task, study)
    session.correct(axis=2, index=40, numbers=drawn)
    for update in session.predict():
        ...
"""

from mvg_client.arrays import UNKNOWN
from mvg_client.batch import Batch
from mvg_client.errors import ServerError
from mvg_client.session import Change, Session, SliceUpdate
from mvg_client.workbench import Workbench

__version__ = "0.1.0"
__all__ = ["UNKNOWN", "Batch", "Change", "ServerError", "Session", "SliceUpdate", "Workbench", "__version__"]
