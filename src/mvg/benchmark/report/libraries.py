"""The libraries that reports are made with; they come with the extra "benchmark"."""

from importlib import import_module

from mvg.errors import BenchmarkError


def check_libraries() -> None:
    """BenchmarkError where a library that reports need is missing."""
    for name in ("jinja2", "matplotlib"):
        try:
            import_module(name)
        except ImportError as error:
            raise BenchmarkError(
                f"the library {name} is missing", f"{name} beside mvg", "pip install '.[benchmark]' in mvg's source"
            ) from error
