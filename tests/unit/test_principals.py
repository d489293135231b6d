"""API keys: their file, what is in force, how often one may fail to sign in, and how much a key may send."""

import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from errors import InputError
from serving.config import Config
from serving.http.problems import ProblemError
from serving.principals import attempts, commands
from serving.principals import file as keyfile
from serving.principals.attempts import Attempts
from serving.principals.in_force import KeysInForce
from serving.principals.principal import Role
from serving.principals.rate import Bucket
from settings import settings

RUNNER = CliRunner()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty LAKEHOUSE_HOME."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def run(*arguments: str) -> str:
    """Run a command of `keys`; what it prints."""
    done = RUNNER.invoke(commands.keys, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def in_force(file: Path) -> KeysInForce:
    """Return what a process has of a file."""
    made = KeysInForce(file, Config())
    made.poll()
    return made


def test_a_key_is_printed_once_and_kept_as_its_hash(home: Path) -> None:
    """The file has the SHA-256, name, role, sources and end; nobody else may read it; `list` shows no secret."""
    key = run("add", "acquirer-1", "--role", "integrator", "--source", "a1", "--source", "a2", "--until", "2030-01-01")
    file = home / "keys.json"
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    principal = in_force(file).find(keyfile.fingerprint(key)).principal
    assert (principal.name, principal.role, principal.sources) == ("acquirer-1", Role.INTEGRATOR, {"a1", "a2"})
    listed = run("list")
    assert "acquirer-1  integrator  a1, a2  until 2030-01-01" in listed
    assert key not in listed


def test_a_change_is_in_force_at_the_next_look(home: Path) -> None:
    """Added, revoked and expired keys count without a restart; revoking one of two keys of a name leaves the other."""
    file = home / "keys.json"
    first = run("add", "j.doe", "--role", "investigator")
    keys = in_force(file)
    second = run("add", "j.doe", "--role", "investigator")
    keys.poll()
    digests = [keyfile.fingerprint(key) for key in (first, second)]
    assert all(keys.find(digest) for digest in digests)
    run("revoke", "j.doe", "--id", digests[0][:8])
    keys.poll()
    assert [keys.find(digest) is not None for digest in digests] == [False, True]
    until = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    keyfile.add(
        file,
        keyfile.Key(
            sha256=keyfile.fingerprint("short"),
            name="short",
            role=Role.AUDITOR,
            sources="*",
            until=until,
            added_at=until,
        ),
    )
    keys.poll()
    assert keys.find(keyfile.fingerprint("short"))
    while datetime.now(UTC) < datetime.fromisoformat(until):
        pass
    assert keys.find(keyfile.fingerprint("short")) is None


@pytest.mark.parametrize("damage", [b"", b'{"keys": [', b'{"keys": [{"name": "x"}]}', b"\xff\xfe", None])
def test_a_damaged_file_leaves_the_last_good_keys_in_force(
    home: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a file, other content or none: what was in force stays, and it is said; mended, it counts again."""
    file = home / "keys.json"
    key = run("add", "j.doe", "--role", "investigator")
    good = file.read_bytes()
    keys = in_force(file)
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with caplog.at_level(logging.ERROR):
        keys.poll()
        keys.poll()
    assert keys.find(keyfile.fingerprint(key))
    assert str(file) in keys.refused
    assert len(caplog.records) == 1
    file.write_bytes(good)
    keys.poll()
    assert keys.refused is None


def test_a_process_that_finds_no_good_file_lets_nobody_in(home: Path) -> None:
    """Without a set of keys nobody is let in, and what to do is said."""
    keys = in_force(home / "keys.json")
    assert not keys.known
    assert "serving keys add" in keys.refused
    assert keys.find(keyfile.fingerprint("")) is None


def test_names_are_one_principal_each(home: Path) -> None:
    """A name cannot come back as somebody else: verdicts carry it. Also not after it was revoked."""
    run("add", "j.doe", "--role", "investigator")
    run("revoke", "j.doe")
    with pytest.raises(InputError, match="another one"):
        run("add", "j.doe", "--role", "auditor")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a1", "--role", "integrator"], "--source"),
        (["op", "--role", "operator", "--source", "a"], "no payments"),
        (["4111111111111111", "--role", "auditor"], "card number"),
        (["a b", "--role", "auditor"], "name"),
        (["x", "--role", "auditor", "--until", "2020-01-01"], "over already"),
        (["x", "--role", "auditor", "--sha256", keyfile.fingerprint("changeme")], "placeholder"),
    ],
)
def test_what_cannot_be_a_key_is_refused(home: Path, arguments: list[str], says: str) -> None:
    """Each refusal says what is wrong, and nothing is written."""
    with pytest.raises(InputError, match=says):
        run("add", *arguments)
    assert not (home / "keys.json").exists() or not keyfile.read(home / "keys.json")


def test_two_at_once_lose_no_key(home: Path) -> None:
    """Changes take turns: what each added is there."""

    def add(number: int) -> None:
        now = datetime.now(UTC)
        keyfile.add(
            home / "keys.json",
            keyfile.Key(
                sha256=keyfile.fingerprint(str(number)),
                name=f"n{number}",
                role=Role.AUDITOR,
                sources="*",
                until=now + timedelta(days=1),
                added_at=now,
            ),
        )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    assert len(keyfile.read(home / "keys.json")) == 24
    assert {path.name for path in home.iterdir()} == {"keys.json", ".keys.json.lock"}


def test_failed_sign_ins_wait_longer_each_time() -> None:
    """Five are free; then a minute, two, four, at most fifteen; success and an hour forget; others go on meanwhile."""
    now = [0.0]
    tried = Attempts(lambda: now[0])
    waits = []
    for _ in range(11):
        waits.append(tried.wait_s("a"))
        now[0] += waits[-1]
        assert tried.wait_s("a") == 0
        tried.failed("a")
    assert waits == [0, 0, 0, 0, 0, 60, 120, 240, 480, 900, 900]
    assert tried.wait_s("b") == 0
    now[0] += attempts.FORGOTTEN_S
    assert tried.wait_s("a") == 0
    for _ in range(5):
        tried.failed("b")
    assert tried.wait_s("b") > 0
    tried.succeeded("b")
    assert tried.wait_s("b") == 0


def test_many_addresses_together_are_bounded_too() -> None:
    """Sixty failures a minute, from wherever, stop further attempts until the minute is over; memory is bounded."""
    now = [0.0]
    tried = Attempts(lambda: now[0])
    for number in range(attempts.OVERALL):
        assert tried.wait_s(f"a{number}") == 0
        tried.failed(f"a{number}")
    assert tried.wait_s("fresh") == pytest.approx(attempts.OVERALL_S)
    now[0] = attempts.OVERALL_S + 1
    assert tried.wait_s("fresh") == 0
    for number in range(attempts.MOST_ADDRESSES + 10):
        tried.failed(f"b{number}")
    assert len(tried._failures) == attempts.MOST_ADDRESSES


def test_what_costs_more_than_a_bucket_holds_is_let_through_when_it_is_full() -> None:
    """A batch larger than the burst is answered once the bucket is full, then paid for: Retry-After comes true."""
    bucket = Bucket(rate=10, burst=5)
    bucket.take(50)
    with pytest.raises(ProblemError) as refused:
        bucket.take(1)
    wait = int(refused.value.headers["retry-after"])
    bucket.at -= wait
    bucket.take(1)
