"""What comes before the Python environment is there: look at the machine, make the environment, fetch the servers.

It runs on the machine's own Python with the standard library alone: `python3 -m infra.native.begin --help`.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

from errors import LakehouseError
from infra.native.fetching import fetch
from infra.native.machine import environment, prerequisites
from infra.native.machine.prerequisites import Check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m infra.native.begin", description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    look = steps.add_parser("doctor", help="try what the machine must have, and say how to install what is missing")
    look.add_argument("--install", action="store_true", help="install what Debian's packages give, as root")
    look.add_argument("--tests", action="store_true", help="also try what only the tests need")
    steps.add_parser("environment", help="make the Python environment, or bring it up to its lock")
    steps.add_parser("fetch", help="fetch the servers that are missing, MinIO's build beside the downloads")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.step == "doctor":
            return _doctor(may_install=chosen.install, tests=chosen.tests)
        if chosen.step == "environment":
            environment.make()
        else:
            _fetch()
    except LakehouseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _doctor(*, may_install: bool, tests: bool) -> int:
    fetched = not fetch.missing()
    found = prerequisites.checks(fetched=fetched, tests=tests)
    if may_install and prerequisites.lacking(found):
        print(prerequisites.install(fetched=fetched, tests=tests))
        found = prerequisites.checks(fetched=fetched, tests=tests)
    print(table(found))
    return 1 if prerequisites.lacking(found) else 0


def table(found: Sequence[Check]) -> str:
    """Return the checks as lines: name, state, wanted, found; then the one command, and what no package gives."""
    rows = [("", "", "wanted", "found"), *((c.name, _state(c), c.wanted, c.found) for c in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(map(str.ljust, row, [*widths, 0])).rstrip() for row in rows]
    if words := prerequisites.command(found):
        lines += ["", "Install what is missing, as root:", f"  apt-get update && {shlex.join(words)}"]
    lines += [f"{check.name}: {check.advice}" for check in found if not check.good and not check.package]
    return "\n".join(lines)


def _state(check: Check) -> str:
    if check.good:
        return "ok"
    return "missing" if check.required else "unneeded" if check.package else "low"


def _fetch() -> None:
    if sys.version_info[:2] not in environment.PLATFORM:
        print("servers: after the environment, whose Python fetches them")
        return
    if fetch.missing():
        started = time.monotonic()
        fetch.fetch_all(lambda server, text: print(f"  {server.name:<11} {text}", flush=True))
        print(f"servers: fetched in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
