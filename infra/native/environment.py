"""Make the Python environment of the lock, by the standard library alone; its Python is the machine's, else uv's."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from errors import LakehouseError
from infra.native.paths import PROJECT_DIR

OLDEST, NEWEST = (3, 11), (3, 13)
"""The Pythons that the locks have wheels for and that were tried, both included."""
SPAN = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
REQUEST = f">={OLDEST[0]}.{OLDEST[1]},<{NEWEST[0]}.{NEWEST[1] + 1}"
PLACE = PROJECT_DIR / ".venv"
REQUIREMENTS = PROJECT_DIR / "requirements"


class EnvironmentFailedError(LakehouseError):
    """The Python environment could not be made."""


def usable(version: tuple[int, int]) -> bool:
    """Return whether the platform runs on a Python of this version."""
    return OLDEST <= version <= NEWEST


def python(place: Path = PLACE) -> Path:
    """Return the environment's interpreter, which may not be there yet."""
    return place / "bin" / "python"


def make(place: Path = PLACE) -> None:
    """Make the environment at `place`, or bring it up to the lock; raises EnvironmentFailedError."""
    print(f"environment: {place.name} from requirements/lakehouse.txt", file=sys.stderr, flush=True)
    if python(place).exists() and not _is_usable(python(place)):
        shutil.rmtree(place)
    if not python(place).exists():
        _by_venv(place) if usable(sys.version_info[:2]) else _by_uv(place)
    uv = place / "bin" / "uv"
    wanted = ["--require-hashes", "--requirement", str(REQUIREMENTS / "uv.txt")]
    if uv.exists():
        _run(str(uv), "pip", "install", "--quiet", "--python", str(python(place)), *wanted)
    else:
        _run(str(python(place)), "-m", "pip", "install", "--quiet", *wanted)
    here = ["--quiet", "--python", str(python(place))]
    _run(str(uv), "pip", "sync", *here, "--compile-bytecode", "--require-hashes", str(REQUIREMENTS / "lakehouse.txt"))
    editable = ["--config-settings", "editable_mode=compat", "--editable", str(PROJECT_DIR)]
    _run(str(uv), "pip", "install", *here, "--no-deps", "--no-build-isolation", *editable)


def _is_usable(program: Path) -> bool:
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([str(program), "-c", code], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return len(words) == 2 and usable((int(words[0]), int(words[1])))


def _by_venv(place: Path) -> None:
    try:
        _run(sys.executable, "-m", "venv", str(place))
    except EnvironmentFailedError:
        # Debian's Python leaves half of one behind when its venv is not installed.
        shutil.rmtree(place, ignore_errors=True)
        raise


def _by_uv(place: Path) -> None:
    """Let uv look for a Python that is usable, and download one when there is none."""
    print(f"Python {sys.version.split()[0]} is outside {SPAN}: uv looks for one, else brings it", file=sys.stderr)
    wanted = ["--require-hashes", "--requirement", str(REQUIREMENTS / "uv.txt")]
    with tempfile.TemporaryDirectory() as folder:
        carrier = Path(folder) / "venv"
        _run(sys.executable, "-m", "venv", str(carrier))
        _run(str(python(carrier)), "-m", "pip", "install", "--quiet", *wanted)
        uv = str(carrier / "bin" / "uv")
        _run(uv, "venv", "--quiet", "--python", REQUEST, str(place))
        _run(uv, "pip", "install", "--quiet", "--python", str(python(place)), *wanted)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise EnvironmentFailedError(
            f"making the Python environment failed: `{' '.join(command[:4])} ...` ended with {done.returncode}; "
            f"`make doctor` says what the machine lacks, and another Python is named by make PYTHON=python3.12\n{words}"
        )
