"""The steps of the tour, in order; each is a command that a user could type."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from clients import api
from demo import attacks, example, live, own, page, travel
from demo.run import StepError, answer, console, step
from settings import settings

LANDED_WITHIN_S = 900
CHAMPION_WITHIN_S = 60
THEFTS = 25
"""Of each pattern: a few would show luck."""
CARDS_A_THEFT = 20
"""A small world has fewer thefts, or most of its cards would be stolen."""
NO_TRAFFIC = "a file has none; of its payments those up to 48 hours old are decided, the others only observed"


@dataclass(frozen=True)
class Choice:
    """What the tour shows: the user's own file, or simulated payments."""

    file: Path | None
    mapping: Path | None
    days: int
    cards: int
    seed: int
    live_seconds: int
    live_tps: int


def tour(choice: Choice, json_file: Path | None) -> bool:
    """Run every step, print the closing page, and return whether its counts balance."""
    started = time.monotonic()
    found: dict[str, Any] = {"seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        _line(choice, Path(folder), found)
    found["seconds"]["all"] = time.monotonic() - started
    balances = page.show(found)
    if json_file:
        json_file.write_text(json.dumps(found, indent=1, default=str))
    return balances


def _line(choice: Choice, folder: Path, found: dict[str, Any]) -> None:
    seconds = found["seconds"]
    seconds["servers"] = step("Start the servers, and set them up", "infra.native", "up")
    # While history pours in, a refresh of half of it would only cost time.
    step("Hold the periodic refresh while history loads", "infra.native", "stop", "refresh")
    sent = folder / "sent.json"
    seconds["history"] = step(f"Payments to Kafka: {_what(choice)}", *_history(choice), "--json", str(sent))
    found["sent"] = [json.loads(sent.read_text())]
    seconds["bronze"] = _landed()
    seconds["silver and gold"] = step("Silver, Gold and the online store", "infra.native", "refresh", "--once")
    trained = folder / "trained.json"
    days = own.periods(own.source(choice.mapping)) if choice.mapping else []
    seconds["training"] = step("Train beside trivial baselines; promote", "ml", "train", *days, "--json", str(trained))
    found["model"] = json.loads(trained.read_text())
    _wait_for_champion()
    if not choice.file:
        found["attacks"] = _attacked(choice, folder / "thefts.json")
        found["sent"].append(json.loads((folder / "thefts.json").read_text()))
        began_ms = time.time_ns() // 1_000_000
        seconds["live traffic"] = step(
            "Live traffic, one message in a hundred bad",
            *_world(choice),
            "--tps",
            str(choice.live_tps),
            "--seconds",
            str(choice.live_seconds),
            "--bad-share",
            "0.01",
            "--json",
            str(sent),
        )
        found["sent"].append(json.loads(sent.read_text()))
        _landed()
        seconds["second refresh"] = step("What changed, once more", "infra.native", "refresh", "--once")
    load = folder / "load.json"
    step("Ask for decisions, 50 a second", "bench", "load", "--rate", "50", "--seconds", "10", "--json", str(load))
    found["load"] = json.loads(load.read_text())
    found["decision"] = example.decide()
    _landed()
    found["reproduced"] = example.reproduced(found["decision"])
    found["live"] = live.nothing(NO_TRAFFIC) if choice.file else live.decisions_since(began_ms)
    found["balance"] = answer("lake", "balance", "--json")
    if choice.mapping:
        found["own"] = own.counts(own.source(choice.mapping))
    found["online"] = answer("serving", "feature-writer", "verify", "--json")
    found["travel"] = travel.two_counts()
    step("Refresh every five minutes from now on", "infra.native", "start", "refresh")


def _attacked(choice: Choice, file: Path) -> dict[str, Any]:
    world, begin = _world(choice)[2:], attacks.decided_so_far()
    times = min(THEFTS, choice.cards // CARDS_A_THEFT)
    step("Thefts of each pattern", "ingestion", "attack", *world, "--times", str(times), "--json", str(file))
    return attacks.track(json.loads(file.read_text())["thefts"], begin)


def _what(choice: Choice) -> str:
    return choice.file.name if choice.file else f"{choice.days} days of {choice.cards:,} simulated cards"


def _history(choice: Choice) -> tuple[str, ...]:
    if choice.file:
        return ("ingestion", "replay", str(choice.file), "--mapping", str(choice.mapping))
    return (*_world(choice), "--days", str(choice.days))


def _world(choice: Choice) -> tuple[str, ...]:
    return ("ingestion", "simulate", "--cards", str(choice.cards), "--seed", str(choice.seed))


def _landed() -> float:
    """Wait until every payment and decision on Kafka is a Bronze row or a dead letter; return the seconds it took."""
    console.rule("[bold]Bronze: wait until every record has landed[/]", align="left")
    started = time.monotonic()
    with console.status("reading") as status:
        while True:
            balance = answer("lake", "balance", "--json")
            topics = (balance, balance["decisions"])
            done = sum(each["bronze"] + each["dead_letters"] + each["nobodys"] for each in topics)
            due = sum(each["acknowledged"] for each in topics)
            status.update(f"{done:,} of {due:,} landed")
            if done >= due:
                break
            if time.monotonic() - started > LANDED_WITHIN_S:
                raise StepError(f"{done:,} of {due:,} landed in {LANDED_WITHIN_S} s; see `make logs S=bronze`")
            time.sleep(1)
    seconds = time.monotonic() - started
    console.print(f"[green]done[/] {done:,} landed in {seconds:.0f} s\n")
    return seconds


def _wait_for_champion() -> None:
    """Wait until the scorer serves the champion that MLflow names."""
    deadline = time.monotonic() + CHAMPION_WITHIN_S
    while True:
        try:
            if httpx.get(f"{settings().api_url}/health/ready", timeout=5, verify=api.trust()).is_success:
                return
        except httpx.HTTPError:
            pass  # it is being started; the deadline decides
        if time.monotonic() > deadline:
            raise StepError(f"the scorer is not ready after {CHAMPION_WITHIN_S} s; see `make logs S=scorer`")
        time.sleep(0.5)
