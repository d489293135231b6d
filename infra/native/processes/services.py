"""The services of the stack: what each waits for, its priority, its address."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from infra.native.paths import Home
from infra.native.processes import commands
from infra.native.processes.commands import Command, Env
from infra.native.setup import postgres


@dataclass(frozen=True)
class Service:
    """One supervised service; `waits_for` names the conditions of ready.py that must hold before it starts."""

    name: str
    title: str
    priority: int
    """Added niceness: the latency path is 0, batch work is last."""
    address: Callable[[Env], str]
    command: Callable[[Home, Env], Command]
    waits_for: tuple[str, ...] = ()
    module: str | None = None
    """The stage that must exist in this checkout."""
    stop_s: int = 20
    stop_signal: str = "TERM"
    prepare: Callable[[Home, Env], None] | None = None
    """What must be made once before the first start, in the starting process."""
    by_default: bool = True
    """Whether it starts without being asked for by name."""

    def available(self) -> bool:
        """Return whether this checkout has the code of the service."""
        return self.module is None or importlib.util.find_spec(f"{self.module}.__main__") is not None


def _nowhere(env: Env) -> str:
    del env
    return ""


SERVICES = {
    service.name: service
    for service in (
        Service("redis", "online store (Valkey)", 0, lambda env: f"127.0.0.1:{env['REDIS_PORT']}", commands.redis),
        Service(
            "answers", "kept answers (Valkey)", 0, lambda env: f"127.0.0.1:{env['ANSWERS_PORT']}", commands.answers
        ),
        Service("kafka", "Kafka broker", 5, lambda env: env["KAFKA_BOOTSTRAP"], commands.kafka, stop_s=30),
        Service("minio", "S3 storage (MinIO)", 5, lambda env: env["S3_ENDPOINT"], commands.minio),
        Service("registry", "schema registry (Apicurio)", 5, lambda env: env["REGISTRY_URL"], commands.registry),
        Service(
            "postgres",
            "alerts (PostgreSQL)",
            5,
            lambda env: f"127.0.0.1:{env['POSTGRES_PORT']}",
            commands.postgres,
            # Fast shutdown: TERM would wait for its clients to go first.
            stop_signal="INT",
            prepare=postgres.make_folder,
        ),
        Service(
            "metastore",
            "catalog (Hive metastore)",
            10,
            lambda env: env["METASTORE_URI"],
            commands.metastore,
            ("metastore-database",),
            by_default=False,
        ),
        Service("trino", "SQL (Trino)", 10, lambda env: f"https://127.0.0.1:{env['TRINO_PORT']}/ui", commands.trino),
        Service("mlflow", "models (MLflow)", 10, lambda env: env["MLFLOW_TRACKING_URI"], commands.mlflow, ("buckets",)),
        Service(
            "bronze",
            "Kafka to Bronze (Spark)",
            7,
            _nowhere,
            commands.bronze,
            ("topics", "schemas", "spark-key"),
            "streaming",
            40,
        ),
        Service(
            "scorer",
            "decisions (HTTP)",
            0,
            lambda env: f"{env['API_URL']}/docs",
            commands.scorer,
            # Nothing: it must come back, degraded or with its kept model, while Redis or MLflow is away.
            (),
            "serving",
            15,
        ),
        Service(
            "stream",
            "decisions on the stream",
            0,
            _nowhere,
            commands.stream,
            # Not Redis: without it payments are decided all the same, degraded.
            ("topics", "schemas"),
            "serving",
            15,
        ),
        Service(
            "alerts-sink",
            "decisions to alerts",
            5,
            _nowhere,
            commands.alerts_sink,
            ("topics", "schemas", "alerts-database"),
            "serving",
            15,
        ),
        Service(
            "desk",
            "alerts and console (HTTP)",
            5,
            lambda env: f"{env['DESK_URL']}/console",
            commands.desk,
            # Nothing: it says what the pipeline lacks while that is away.
            (),
            "serving",
            15,
        ),
        Service(
            "refresh",
            "dbt, then features",
            15,
            _nowhere,
            commands.refresh,
            ("catalog", "redis"),
            "serving",
            15,
        ),
        Service(
            "superset",
            "dashboards (Superset)",
            12,
            lambda env: env["SUPERSET_URL"],
            commands.superset,
            # Not Trino: without it a dashboard says so, and comes back with it.
            ("superset-database",),
            "infra.superset",
            20,
            prepare=commands.prepare_superset,
            by_default=False,
        ),
    )
}
