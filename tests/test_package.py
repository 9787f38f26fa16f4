"""The public names of the package, and the variables that it sets before torch is loaded."""

import os
import subprocess
import sys

import pytest

import mvg

PUBLIC = {
    "BenchmarkError", "FileError", "GeometryError", "LabelMap", "MvgError", "Prediction", "PredictionOptions",
    "Predictor", "ProcessError", "PromptError", "PromptedTask", "RecipeError", "Session", "UnknownNameError", "Volume",
    "WeightsError", "__version__", "load", "load_task", "read", "read_labels", "write",
}  # fmt: skip
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def run_python(code: str, **variables: str) -> str:
    """Output of `code` in a new process in which only these of the variables for threads are set."""
    removed = (*WAITING, "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in removed} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + done.stderr


def test_the_package_has_its_public_names() -> None:
    assert set(mvg.__all__) == PUBLIC
    assert dir(mvg) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(mvg, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = mvg.nonesuch


def test_heavy_modules_are_imported_on_first_use() -> None:
    heavy = "sorted({'torch', 'numpy', 'SimpleITK', 'scipy'} & set(sys.modules))"
    assert run_python(f"import sys, mvg; print({heavy})") == "[]"
    assert run_python("import mvg; print(mvg.FileError.__name__, mvg.LabelMap.__name__)") == "FileError LabelMap"


@pytest.mark.parametrize("module", ["mvg", "mvg.app.cli"])
def test_threads_sleep_while_they_wait(module: str) -> None:
    assert run_python(f"import os, {module}; print(os.environ['OMP_WAIT_POLICY'])") == "passive"


def test_openmp_uses_the_setting() -> None:
    settings = run_python("import mvg, torch", OMP_DISPLAY_ENV="VERBOSE")
    if "GOMP_SPINCOUNT" not in settings:
        pytest.skip("this torch comes without GNU OpenMP")
    assert "GOMP_SPINCOUNT = '0'" in settings


def test_threads_of_worker_processes_sleep_too() -> None:
    code = (
        "import multiprocessing, os, mvg\n"
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    print(pool.apply(os.getenv, ('OMP_WAIT_POLICY',)))"
    )
    assert run_python(code) == "passive"


@pytest.mark.parametrize("name", WAITING)
def test_a_setting_of_the_user_is_kept(name: str) -> None:
    code = f"import os, mvg; print([os.environ.get(name) for name in {WAITING}])"
    assert run_python(code, **{name: "ACTIVE"}) == str(["ACTIVE" if other == name else None for other in WAITING])


def test_nothing_is_set_after_torch_was_loaded() -> None:
    assert run_python("import os, torch, mvg; print(os.environ.get('OMP_WAIT_POLICY'))") == "None"


@pytest.mark.parametrize(
    ("name", "expected"), [("OPENBLAS_NUM_THREADS", ["3", None]), ("OMP_NUM_THREADS", [None, "3"])]
)
def test_products_of_numpy_stay_on_one_thread_unless_the_user_chose_a_number(name: str, expected: list[str]) -> None:
    print_both = "import os, mvg; print([os.environ.get(n) for n in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS')])"
    assert run_python(print_both, **{name: "3"}) == str(expected)


def test_products_stay_on_one_thread_by_default() -> None:
    assert run_python("import os, mvg; print(os.environ['OPENBLAS_NUM_THREADS'])") == "1"
    assert run_python("import numpy, os, mvg; print(os.environ.get('OPENBLAS_NUM_THREADS'))") == "None"
