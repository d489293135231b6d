"""The catalog's metastore as a setting: chosen, kept, brought along with Trino, written for it to read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import LakehouseError
from infra.native import stack, stackenv
from infra.native.fetching import servers
from infra.native.paths import INFRA, Home
from infra.native.setup import metastore, trino_access

SETTINGS = st.dictionaries(st.just("METASTORE"), st.sampled_from(["", *metastore.KINDS]))


@given(before=SETTINGS, now=SETTINGS)
def test_what_is_said_now_counts_then_what_was_then_files(before: dict[str, str], now: dict[str, str]) -> None:
    """METASTORE decides; without it a stack keeps what it had, and a new one has files."""
    assert metastore.chosen(before, now) == (now.get("METASTORE") or before.get("METASTORE") or "file")


@pytest.mark.parametrize("kind", ["glue", "Hive", "../file"])
def test_another_kind_is_refused(kind: str) -> None:
    """A kind that there is not is refused with those that there are, before anything is started."""
    with pytest.raises(LakehouseError, match="one of file, hive"):
        metastore.chosen({}, {"METASTORE": kind})


def test_a_stack_keeps_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once it stands in stack.env, for stacks with and without containers; another shell need not say it."""
    monkeypatch.setenv("LAKEHOUSE_CACHE", str(tmp_path / "cache"))
    native, containers = Home(tmp_path / "native"), Home(tmp_path / "containers")
    monkeypatch.setenv("METASTORE", "hive")
    stackenv.prepare(native, Path("/jdk"), Path("/jars"))
    stackenv.prepare_containers(containers)
    monkeypatch.setenv("METASTORE", "")
    assert stackenv.prepare(native, Path("/jdk"), Path("/jars"))["METASTORE"] == "hive"
    assert stackenv.prepare_containers(containers)["METASTORE"] == "hive"
    monkeypatch.setenv("METASTORE", "file")
    assert stackenv.prepare(native, Path("/jdk"), Path("/jars"))["METASTORE"] == "file"


def test_it_comes_with_trino_and_only_then() -> None:
    """A Hive metastore is started before the Trino that needs it, never for its own sake, and files need none."""

    def names(kind: str, *asked: str) -> set[str]:
        return {service.name for service in stack._choose(asked, (), metastore.services(kind))}

    assert "metastore" in names("hive")
    assert "metastore" not in names("file")
    assert names("hive", "minio", "trino") == {"minio", "trino", "metastore"}
    assert names("hive", "minio") == {"minio"}
    assert names("file", "trino") == {"trino"}
    assert "metastore" in stack.FIRST["trino"]


@pytest.mark.parametrize("kind", metastore.KINDS)
def test_trinos_catalog_has_that_metastore_and_no_other(tmp_path: Path, kind: str) -> None:
    """The catalog that Trino reads is the lake's with one metastore; the other's settings are refused by Trino."""
    home = Home(tmp_path)
    for each in (*metastore.KINDS, kind):
        metastore.write(home, {"METASTORE": each})
    folder = trino_access.folder(home) / "catalog"
    assert [path.name for path in folder.iterdir()] == ["delta.properties"]
    lines = [line for line in (folder / "delta.properties").read_text().splitlines() if line and line[0] != "#"]
    properties = dict(line.split("=", 1) for line in lines)
    assert len(properties) == len(lines)
    assert properties["connector.name"] == "delta_lake"
    assert properties["hive.metastore"] == {"file": "file", "hive": "thrift"}[kind]
    assert ("hive.metastore.uri" in properties) == (kind == "hive")
    assert ("hive.metastore.catalog.dir" in properties) == (kind == "file")


def test_no_secret_stands_in_its_files() -> None:
    """The password of its database and every address are given at start; its files name only variables."""
    site = (INFRA / "metastore" / "metastore-site.xml").read_text()
    for name in ("METASTORE_BIND", "METASTORE_PORT", "METASTORE_DATABASE_URL", "METASTORE_DB_PASSWORD"):
        assert f"<value>${{env.{name}}}</value>" in site
    assert "S3_" not in site
    assert "fs.s3a" not in site


def test_its_lock_has_what_it_needs() -> None:
    """Each jar has its checksum; the driver and the schema tool are among them, no second logger is."""
    jars = {line.split()[1] for line in servers.METASTORE.lock.read_text().splitlines()}
    assert {"postgresql-42.7.7.jar", "hive-standalone-metastore-server-4.0.1.jar"} <= jars
    assert any(jar.startswith("datanucleus-rdbms-") for jar in jars)
    assert not any("slf4j-reload4j" in jar for jar in jars)
