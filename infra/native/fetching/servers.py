"""Which servers the stack fetches: name, version, and how an ordinary package client gets each."""

import platform
from dataclasses import dataclass
from pathlib import Path

from infra.native.machine.environment import REQUIREMENTS, Pythons
from infra.native.paths import FETCHING

SPARK_GROUPS = (
    "io.delta",
    "io.unitycatalog",
    "org.apache.spark",
    "org.apache.kafka",
    "org.apache.commons",
    "org.apache.hadoop",
    "software.amazon.awssdk",
    "software.amazon.eventstream",
    "software.amazon.s3.analyticsaccelerator",
    "org.reactivestreams",
)
"""Spark itself brings the rest; a second copy of it would shadow pyspark's own."""


@dataclass(frozen=True)
class Jars:
    """A folder of jars: the runtime dependencies of a pom, less what `options` leaves out."""

    pom: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tarball:
    """One packed artifact (group:artifact:version:type[:classifier]); `keep` folders of it, or all when empty."""

    coordinates: str
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackedInJar:
    """A tar.xz that stands alone in a jar, one jar a processor (artifact-PROCESSOR); the lock has all of them."""

    group: str
    artifact: str
    version: str
    processors: tuple[str, ...]
    """As the artifacts are called, for x86_64 first, then for aarch64."""

    def coordinates(self, processor: str = "") -> str:
        """Return the artifact of `processor`, else of this machine's."""
        here = self.processors[platform.machine() in {"aarch64", "arm64"}]
        return f"{self.group}:{self.artifact}-{processor or here}:{self.version}:jar"


@dataclass(frozen=True)
class GoBinary:
    """A program built from a Go module that is pinned by the go.sum in `folder`."""

    folder: Path
    package: str


@dataclass(frozen=True)
class PythonEnvironment:
    """An environment of its own, of exactly what a compiled requirements file names."""

    requirements: Path
    pythons: Pythons
    """Those that the file has wheels for."""


@dataclass(frozen=True)
class Server:
    """A server in the cache; its folder's name changes with its lock, so a new lock means a new fetch."""

    name: str
    version: str
    source: Jars | Tarball | PackedInJar | GoBinary | PythonEnvironment
    megabytes: int
    """What is downloaded, for the progress line."""

    @property
    def lock(self) -> Path:
        """The checksums that the download must have."""
        if isinstance(self.source, GoBinary):
            return self.source.folder / "go.sum"
        if isinstance(self.source, PythonEnvironment):
            return self.source.requirements
        return FETCHING / "locks" / f"{self.name}.sha256"


KAFKA = Server("kafka", "4.3.1", Jars("kafka.xml"), 55)
SPARK = Server(
    "spark",
    "4.2.0",
    Jars(
        "spark.xml",
        (
            f"-DincludeGroupIds={','.join(SPARK_GROUPS)}",
            "-DexcludeArtifactIds=hadoop-client-api,hadoop-client-runtime,spark-tags_2.13",
        ),
    ),
    110,
)
REGISTRY = Server("registry", "3.3.3", Tarball("io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"), 159)
TRINO = Server(
    "trino",
    "476",
    Tarball(
        "io.trino:trino-server:476:tar.gz",
        keep=("lib", "plugin/delta-lake", "plugin/password-authenticators", "plugin/resource-group-managers"),
        drop=("plugin/delta-lake/hdfs", "plugin/delta-lake/org.rocksdb_rocksdbjni-7.0.3.jar"),
    ),
    821,
)
MINIO = Server("minio", "20260212", GoBinary(FETCHING / "minio", "github.com/minio/minio"), 140)
POSTGRES = Server(
    "postgres",
    "17.7",
    PackedInJar("io.zonky.test.postgres", "embedded-postgres-binaries", "17.7.0", ("linux-amd64", "linux-arm64v8")),
    15,
)

SUPERSET = Server("superset", "6.1.0", PythonEnvironment(REQUIREMENTS / "superset.txt", Pythons((3, 11), (3, 12))), 250)
METASTORE = Server("metastore", "4.0.1", Jars("metastore.xml"), 145)

SERVERS = (MINIO, TRINO, REGISTRY, KAFKA, SPARK, POSTGRES)
"""Longest first: they are fetched side by side."""
ON_DEMAND = (SUPERSET, METASTORE)
"""Fetched only by who asks for them by name."""
