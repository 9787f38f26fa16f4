"""`mvg serve`: the workbench on a folder of studies, in the browser."""

import socket
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from mvg.app.display import print_line
from mvg.errors import FileError
from mvg.server.settings import ServerSettings, is_loopback, new_token


def serve_folder(settings: ServerSettings, opens_browser: bool) -> None:
    """Serve until it is interrupted. Raises FileError where the folder or the port cannot be used, WeightsError and
    UnknownNameError for weights and devices that are not there.
    """
    check_packages()
    import uvicorn

    from mvg.model.device import device_named
    from mvg.model.weights import verify_weights
    from mvg.server.app import create_app
    from mvg.server.workbench import Workbench

    if not settings.folder.is_dir():
        raise FileError(f"no folder '{settings.folder}'", "a folder with studies", "check the path")
    verify_weights(settings.weights)
    device_named(settings.device)
    with _listening(settings) as listener:
        address = _address(settings, listener.getsockname()[1])
        workbench = Workbench(settings)
        config = uvicorn.Config(
            create_app(workbench), log_level="warning", access_log=False, server_header=False, date_header=False,
            timeout_graceful_shutdown=3,
        )  # fmt: skip
        print_line(f"the workbench for '{settings.folder}' is at {address} ; stop it with Ctrl+C.")
        if not is_loopback(settings.host):
            print_line("other machines can reach it with this token; the connection is not encrypted.")
        if opens_browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        uvicorn.Server(config).run([listener])


def check_packages() -> None:
    """Raises FileError where a package of the extra `serve` is missing."""
    for name in ("fastapi", "uvicorn", "python_multipart"):
        if find_spec(name) is None:
            action = "run pip install '.[serve]' in mvg's source"
            raise FileError(f"no package '{name}'", "the packages of the server", action)


def token_of(token: str | None) -> str | None:
    """The token that a user named; "new" makes one."""
    return new_token() if token == "new" else token


def demo_folder() -> Path:
    """A folder with the demo's images, which is filled when it is used for the first time."""
    from mvg.app.demo.studies import write_demo_studies

    folder = Path("runs") / "workbench-demo"
    write_demo_studies(folder)
    return folder


def _listening(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise FileError(
            f"port {settings.port} of {settings.host} cannot be used ({error.strerror})", "a free port",
            "choose another with --port, or stop the program that uses it",
        ) from error  # fmt: skip
    return listener


def _address(settings: ServerSettings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host
    return f"http://{host}:{port}/" + (f"?token={settings.token}" if settings.token else "")
