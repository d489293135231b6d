"""The table of `make status`: service, state, address, memory, what it waits for; and the last refresh."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
from rich.table import Table

from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.processes.services import SERVICES, Service
from infra.native.setup import certificates, scorer_tls, trino_access
from infra.native.state import notes
from infra.native.state.asking import memory_of
from infra.native.state.ready import CONDITIONS, why_not

LONG_S = 60
"""A service that still does not answer after this time is no longer called starting."""
STYLES = {"ready": "green", "running": "green", "starting": "yellow", "waiting": "yellow", "stopped": "dim"}


@dataclass(frozen=True)
class Row:
    """One service as it is now; memory in bytes of its whole process tree."""

    name: str
    title: str
    state: str
    address: str
    memory: int
    waits_for: str
    restarts: int


def rows(home: Home) -> list[Row]:
    """Ask supervisor and servers, side by side, how each service is."""
    states = supervise.states(home)
    env = stackenv.read(home)
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        return list(pool.map(lambda service: _row(home, service, states.get(service.name, {}), env), SERVICES.values()))


def table(home: Home) -> Table:
    """Return the table, its caption the last refresh."""
    drawn = Table(
        title=f"fraud-lakehouse in {home.root}",
        caption=f"{last_refresh(home)}\n{certified(home)}".strip(),
        title_justify="left",
    )
    drawn.add_column("service", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    drawn.add_column("address", no_wrap=True)
    drawn.add_column("memory", justify="right", no_wrap=True)
    drawn.add_column("waits for, or says", overflow="fold")
    shown = rows(home)
    for row in shown:
        state = f"[{STYLES.get(row.state, 'red')}]{row.state}[/]"
        restarts = f" [dim]{row.restarts} restart{'s' if row.restarts > 1 else ''}[/]" if row.restarts else ""
        drawn.add_row(
            row.name, state + restarts, row.address, _megabytes(row.memory), row.waits_for or f"[dim]{row.title}[/]"
        )
    drawn.add_section()
    drawn.add_row("all", "", "", _megabytes(sum(row.memory for row in shown)), "")
    return drawn


def _megabytes(memory: int) -> str:
    return f"{memory / 2**20:,.0f} MB" if memory else ""


def last_refresh(home: Home) -> str:
    """Say when the last refresh was and how it ended."""
    note = notes.read(home, "last-refresh")
    if not note:
        return "last refresh: none yet"
    outcome = {True: "good", False: "FAILED", None: "idle"}[note["ok"]]
    at = time.strftime("%H:%M:%S", time.localtime(note["at"]))
    return f"last refresh: {at}, {note['seconds']:.0f} s, {outcome}: {note['text']}"


def certified(home: Home) -> str:
    """Say until when this stack's certificates are good; `make up` renews them in their last two months."""
    files = {"Trino": trino_access.authority(home), "scorer": scorer_tls.authority(home)}
    found = [f"{name} {certificates.ends(file):%Y-%m-%d}" for name, file in files.items() if file.is_file()]
    return f"certificates until: {', '.join(found)}" if found else ""


def _row(home: Home, service: Service, record: dict[str, Any], env: dict[str, str]) -> Row:
    state, waits_for = _state(home, service, record, env)
    pid = int(record.get("pid") or 0)
    address = service.address(env) if env else ""
    return Row(service.name, service.title, state, address, _memory(pid), waits_for, _restarts(home, service.name))


def _state(home: Home, service: Service, record: dict[str, Any], env: dict[str, str]) -> tuple[str, str]:
    supervised = record.get("statename", "STOPPED")
    if supervised in ("STOPPED", "EXITED") and not service.available():
        return "stopped", f"no code in {service.module}/ yet"
    if supervised not in ("RUNNING", "STARTING"):
        return ("stopped" if supervised == "STOPPED" else supervised.lower()), str(record.get("spawnerr") or "")
    note = notes.read(home, f"wait-{service.name}")
    if note.get("waits_for"):
        since = f" ({time.time() - note['since']:.0f} s)" if note.get("since") else ""
        return "waiting", f"{note['waits_for']}{since} {note.get('reason', '')}".strip()
    if service.name not in CONDITIONS:
        return "running", ""
    reason = why_not(service.name, env)
    if reason is None:
        return "ready", _word(home, service, env)
    return ("starting" if time.time() - record["start"] < LONG_S else "not ready"), reason


def _word(home: Home, service: Service, env: dict[str, str]) -> str:
    if service.name in STORES:
        return memory_of(env[STORES[service.name]])
    said = notes.read(home, service.name) if service.name in WORDS else {}
    try:
        return WORDS[service.name](said) if said else ""
    except KeyError:  # it has only begun to speak
        return ""


STORES = {"redis": "REDIS_URL", "answers": "ANSWERS_URL"}
WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "bronze": lambda said: (
        f"{said['good']:,} rows, {said['letters']:,} letters since its start, lag {said['lag'] or 0:,}"
    ),
    "alerts-sink": lambda said: (
        f"{said['stored']:,} decisions kept, {said['alerted']:,} of them in alerts since its start"
        + (f"; {said['refused']:,} REFUSED: python -m serving refused list" if said.get("refused") else "")
    ),
    "stream": lambda said: (
        f"{said['decided']:,} decided, {said['alerts']:,} alerts since its start"
        + (f"; p50 {said['p50_ms']:.0f}, p99 {said['p99_ms']:.0f} ms" if said["p50_ms"] is not None else "")
        + (f"; rules {said['rules'][:8]}" if said.get("rules") else "")
        + (f"; NEW RULES REFUSED: {said['rules_refused']}" if said.get("rules_refused") else "")
        + (f"; NO RULES: {said['rules_missing']}" if said.get("rules_missing") else "")
        + (f"; {said['unpriced']:,} without an exchange rate" if said.get("unpriced") else "")
    ),
}
"""What a service says of itself, from the note that it keeps."""


def _restarts(home: Home, name: str) -> int:
    return max(0, int(notes.read(home, f"starts-{name}").get("count", 1)) - 1)


def _memory(pid: int) -> int:
    if not pid:
        return 0
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
