"""Make the Python environment of the lock, by the standard library alone; its Python is the machine's, else uv's."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from errors import LakehouseError
from infra.native.paths import PROJECT_DIR


@dataclass(frozen=True)
class Pythons:
    """The versions of Python that a lock has wheels for, the first and the last included, of one major version."""

    oldest: tuple[int, int]
    newest: tuple[int, int]

    def __contains__(self, version: tuple[int, int]) -> bool:
        """Return whether a version is one of them."""
        return self.oldest <= version <= self.newest

    def __str__(self) -> str:
        """Return them as people read them."""
        return f"{self.oldest[0]}.{self.oldest[1]} to {self.newest[0]}.{self.newest[1]}"

    @property
    def request(self) -> str:
        """Them as a specifier."""
        return f">={self.oldest[0]}.{self.oldest[1]},<{self.newest[0]}.{self.newest[1] + 1}"

    @property
    def for_uv(self) -> str:
        """This program's own Python if it is one of them; else uv looks for one on the machine, or downloads it."""
        return sys.executable if sys.version_info[:2] in self else self.request


PLATFORM = Pythons((3, 11), (3, 13))
"""Those of the platform's own lock; each was tried."""
PLACE = PROJECT_DIR / ".venv"
REQUIREMENTS = PROJECT_DIR / "requirements"


class EnvironmentFailedError(LakehouseError):
    """The Python environment could not be made."""


def python(place: Path = PLACE) -> Path:
    """Return the environment's interpreter, which may not be there yet."""
    return place / "bin" / "python"


def make(place: Path = PLACE) -> None:
    """Make the environment at `place`, or bring it up to the lock; raises EnvironmentFailedError."""
    print(f"environment: {place.name} from requirements/lakehouse.txt", file=sys.stderr, flush=True)
    if python(place).exists() and not _is_usable(python(place)):
        shutil.rmtree(place)
    if not python(place).exists():
        _by_venv(place) if sys.version_info[:2] in PLATFORM else _by_uv(place)
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
    return len(words) == 2 and (int(words[0]), int(words[1])) in PLATFORM


def _by_venv(place: Path) -> None:
    try:
        _run(sys.executable, "-m", "venv", str(place))
    except EnvironmentFailedError:
        # Debian's Python leaves half of one behind when its venv is not installed.
        shutil.rmtree(place, ignore_errors=True)
        raise


def _by_uv(place: Path) -> None:
    """Let uv look for a Python that is usable, and download one when there is none."""
    print(f"Python {sys.version.split()[0]} is outside {PLATFORM}: uv looks for one, else brings it", file=sys.stderr)
    wanted = ["--require-hashes", "--requirement", str(REQUIREMENTS / "uv.txt")]
    with tempfile.TemporaryDirectory() as folder:
        carrier = Path(folder) / "venv"
        _run(sys.executable, "-m", "venv", str(carrier))
        _run(str(python(carrier)), "-m", "pip", "install", "--quiet", *wanted)
        uv = str(carrier / "bin" / "uv")
        _run(uv, "venv", "--quiet", "--python", PLATFORM.request, str(place))
        _run(uv, "pip", "install", "--quiet", "--python", str(python(place)), *wanted)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise EnvironmentFailedError(
            f"making the Python environment failed: `{' '.join(command[:4])} ...` ended with {done.returncode}; "
            f"`make doctor` says what the machine lacks, and another Python is named by make PYTHON=python3.12\n{words}"
        )
