"""The parts of the native stack that need no server: ports, variables, rights, fetching, commands."""

import dataclasses
import hashlib
import json
import socket
import stat
from pathlib import Path

import pytest

from errors import LakehouseError
from infra.native import stackenv
from infra.native.fetching import fetch
from infra.native.fetching.servers import SERVERS, TRINO, GoBinary, Server, Tarball
from infra.native.paths import FETCHING, Home
from infra.native.processes.services import SERVICES
from infra.native.setup import configure
from infra.native.setup.storage_admin import rights, spark_rights, trino_rights


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty stack with a cache of its own."""
    monkeypatch.setenv("LAKEHOUSE_CACHE", str(tmp_path / "cache"))
    return Home(tmp_path / "home")


def prepare(home: Home) -> dict[str, str]:
    """Write the variables of a stack."""
    return stackenv.prepare(home, Path("/jdk"), Path("/jars"))


def test_variables_are_written_privately_and_read_back(home: Home) -> None:
    """What `prepare` returns is what the file holds; nobody else may read it."""
    env = prepare(home)
    assert stackenv.required(home) == env
    assert stat.S_IMODE(home.env_file.stat().st_mode) == 0o600


def test_a_second_start_keeps_secrets_and_free_ports(home: Home) -> None:
    """Secrets are made once; ports stay while they are free."""
    assert prepare(home) == prepare(home)


def test_a_lost_card_key_over_data_is_refused_and_not_made_anew(home: Home) -> None:
    """Without the key, or the whole file, a stack that has data does not start and says what to do."""
    prepare(home)
    data = home.data("minio")
    data.mkdir(parents=True)
    text = home.env_file.read_text()
    home.env_file.unlink()
    with pytest.raises(LakehouseError, match="backup"):
        prepare(home)
    assert not home.env_file.exists()
    home.env_file.write_text("".join(line for line in text.splitlines(keepends=True) if "CARD_HASH_KEY" not in line))
    with pytest.raises(LakehouseError, match="backup"):
        prepare(home)
    home.env_file.write_text(text)
    assert prepare(home)["CARD_HASH_KEY"] in text
    home.env_file.unlink()
    data.rmdir()
    assert prepare(home)["CARD_HASH_KEY"] not in text


def test_a_new_stack_has_a_key_of_each_kind_and_keeps_its_file(home: Home) -> None:
    """The first start makes the file of API keys from the stack's own secrets, as hashes; later ones leave it alone."""
    env = prepare(home)
    configure.give_keys(home, env)
    file = home.root / "keys.json"
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for name, role in (("API_KEY", "integrator"), ("INVESTIGATOR_KEY", "investigator"), ("OPERATOR_KEY", "operator")):
        assert env[name] not in text
        digest = hashlib.sha256(env[name].encode()).hexdigest()
        assert [each["role"] for each in json.loads(text)["keys"] if each["sha256"] == digest] == [role]
    configure.give_keys(home, env | {"API_KEY": "another"})
    assert file.read_text() == text


def test_a_taken_port_moves_to_the_next_free_one(home: Home) -> None:
    """A port in use by another program is not chosen, and the choice is written down."""
    port = int(prepare(home)["API_PORT"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        moved = prepare(home)
    assert int(moved["API_PORT"]) != port
    assert moved["API_URL"].endswith(moved["API_PORT"])


def test_two_stacks_that_start_together_choose_other_ports(home: Home, tmp_path: Path) -> None:
    """A port that another starting stack has claimed is not chosen, though nothing listens there yet."""
    first, second = prepare(home), prepare(Home(tmp_path / "other"))
    names = [name for name in first if name.endswith("_PORT")]
    assert {first[name] for name in names}.isdisjoint({second[name] for name in names})


def test_the_environment_of_another_stack_does_not_leak_in() -> None:
    """A service is started without the variables that a user's shell took from some stack."""
    clean = stackenv.without_stack({"KAFKA_BOOTSTRAP": "x", "S3_ROOT_SECRET_KEY": "x", "API_KEY": "x", "TERM": "xterm"})
    assert clean == {"TERM": "xterm"}


def test_exports_survive_a_shell(home: Home) -> None:
    """Every exported value is quoted for a shell."""
    text = stackenv.exports({**prepare(home), "API_KEY": "a'b $(id)"})
    assert "export API_KEY='a'\"'\"'b $(id)'" in text


def test_engines_write_apart() -> None:
    """No prefix is writable by both engines."""
    spark, trino = (_writable(policy) for policy in (spark_rights("lake"), trino_rights("lake")))
    assert spark
    assert trino
    assert not spark & trino


def test_a_right_to_read_gives_no_right_to_write() -> None:
    """A reader's policy has no action that changes anything."""
    assert _writable(rights("lake", read=("",))) == set()


def _writable(policy: dict) -> set[str]:
    return {
        resource
        for statement in policy["Statement"]
        if "s3:PutObject" in statement["Action"]
        for resource in statement["Resource"]
    }


def test_every_server_has_a_lock_and_a_folder_that_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server is pinned by checksums in the repository; its folder's name changes with them and with its parts."""
    other = tmp_path / "other"
    other.write_text("another lock")
    assert fetch.folder(dataclasses.replace(TRINO, source=Tarball("a:b:c", keep=("lib",)))) != fetch.folder(TRINO)
    for server in SERVERS:
        before = fetch.folder(server)
        monkeypatch.setattr(type(server), "lock", property(lambda _: other))
        assert fetch.folder(server) != before
        monkeypatch.undo()
        if not isinstance(server.source, GoBinary):
            assert all(len(line.split()[0]) == 64 for line in server.lock.read_text().splitlines())


def test_a_changed_or_extra_file_is_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that differs from its lock is refused, and the error names the file."""
    monkeypatch.setattr("infra.native.fetching.servers.FETCHING", tmp_path)
    server = Server("thing", "1", Tarball("a:b:1:tar.gz"), 1)
    (tmp_path / "locks").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "good.jar").write_bytes(b"good")
    server.lock.write_text(f"{hashlib.sha256(b'good').hexdigest()}  good.jar\n")
    fetch._verify(server, tmp_path / "out")
    (tmp_path / "out" / "extra.jar").write_bytes(b"extra")
    with pytest.raises(fetch.FetchError, match=r"extra\.jar"):
        fetch._verify(server, tmp_path / "out")
    (tmp_path / "out" / "extra.jar").unlink()
    (tmp_path / "out" / "good.jar").write_bytes(b"bad")
    with pytest.raises(fetch.FetchError, match=r"good\.jar"):
        fetch._verify(server, tmp_path / "out")


def test_a_fetch_that_fails_does_not_count(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the package client fails, the error is told and the server is still missing."""
    monkeypatch.setattr(fetch, "maven_program", lambda: "false")
    kafka = next(server for server in SERVERS if server.name == "kafka")
    said: list[str] = []
    with pytest.raises(fetch.FetchError, match="kafka"):
        fetch.fetch_all(lambda _, text: said.append(text), [kafka])
    assert fetch.missing([kafka]) == [kafka]
    assert said[-1].startswith("failed")


def test_the_latency_path_has_the_best_priority() -> None:
    """Redis and both scorers run before the servers, and those before batch work."""
    niceness = {name: service.priority for name, service in SERVICES.items()}
    assert niceness["redis"] == niceness["scorer"] == niceness["stream"] == 0
    servers = ("kafka", "minio", "registry", "postgres", "alerts-sink")
    assert max(niceness[name] for name in servers) < niceness["trino"] <= niceness["refresh"]


def test_no_secret_stands_on_a_command_line(home: Home) -> None:
    """Secrets go by file or environment: `ps` shows neither."""
    env = prepare(home)
    names = [name for name in env if name.endswith(("SECRET_KEY", "PASSWORD", "API_KEY", "HASH_KEY"))]
    hidden = [env[name] for name in names if env[name]]
    assert len(hidden) > 5
    for service in SERVICES.values():
        line = " ".join(service.command(home, env).arguments)
        assert not [secret for secret in hidden if secret in line], service.name


def test_no_registry_host_stands_in_what_is_locked() -> None:
    """Locks and poms work with whatever registries the machine is set up for."""
    for path in [*FETCHING.glob("locks/*"), *FETCHING.glob("poms/*"), FETCHING / "minio" / "go.mod"]:
        text = path.read_text().replace("http://maven.apache.org/POM/4.0.0", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
