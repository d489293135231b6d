"""Write the configuration that differs from stack to stack: addresses, folders, passwords; and format Kafka's log."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from errors import LakehouseError
from infra.native.fetching import fetch, servers
from infra.native.paths import INFRA, Home, write_secret
from infra.native.processes.commands import answers_configuration, kafka_properties, redis_configuration
from infra.native.processes.services import SERVICES
from infra.native.setup import metastore, postgres, scorer_tls, trino_access
from infra.native.stackenv import without_stack
from settings import PROJECT_DIR

Env = Mapping[str, str]


def configure(home: Home, env: Env) -> None:
    """Write every file that the servers read at start; raises LakehouseError when Kafka's log cannot be formatted."""
    for name in SERVICES:
        home.data(name).mkdir(parents=True, exist_ok=True)
    give_rules(home)
    give_keys(home, env)
    write_secret(kafka_properties(home), _kafka(home, env))
    write_secret(redis_configuration(home), _valkey(home, env, "redis"))
    write_secret(answers_configuration(home), _valkey(home, env, "answers"))
    write_secret(postgres.configuration(home), _postgres(home, env))
    scorer_tls.write(home, env)
    trino_access.write(home, env)
    metastore.write(home, env)
    _format_kafka(home, env)


def give_rules(home: Home) -> None:
    """Write the `rules.yaml` that is published first where there is none; what is in force Kafka has from then on."""
    rules = home.root / "rules.yaml"
    if not rules.exists():
        rules.write_text((INFRA / "rules.yaml").read_text())


def give_keys(home: Home, env: Env) -> None:
    """Make the API keys of a new stack, of an integrator, an investigator and an operator; those there are kept."""
    if (home.root / "keys.json").exists():
        return
    done = subprocess.run(
        [sys.executable, "-m", "serving", "keys", "provision"],
        cwd=PROJECT_DIR,
        env={**without_stack(), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LakehouseError(f"the API keys were not made: {(done.stderr or done.stdout).strip()[-600:]}")


def _kafka(home: Home, env: Env) -> str:
    broker, controller = f"127.0.0.1:{env['KAFKA_PORT']}", f"127.0.0.1:{env['KAFKA_CONTROLLER_PORT']}"
    here = {
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(home.data("kafka") / "log"),
    }
    return _base("kafka/server.properties") + "".join(f"{name}={value}\n" for name, value in here.items())


def _valkey(home: Home, env: Env, name: str) -> str:
    port, folder = env[f"{name.upper()}_PORT"], home.data(name)
    return _base(f"redis/{name}.conf") + (
        f"port {port}\ndir {folder}\nrequirepass {env['REDIS_PASSWORD']}\ndaemonize no\n"
    )


def _postgres(home: Home, env: Env) -> str:
    here = {
        "listen_addresses": "127.0.0.1",
        "port": env["POSTGRES_PORT"],
        "unix_socket_directories": "",
        "hba_file": str(home.data("postgres") / "main" / "pg_hba.conf"),
        "ident_file": str(home.data("postgres") / "main" / "pg_ident.conf"),
    }
    return _base("postgres/postgresql.conf") + "".join(f"{name} = '{value}'\n" for name, value in here.items())


def _base(name: str) -> str:
    return (INFRA / name).read_text() + "\n# This stack's own.\n"


def _format_kafka(home: Home, env: Env) -> None:
    if (home.data("kafka") / "log" / "meta.properties").is_file():
        return
    command = [
        str(Path(env["JAVA_HOME"]) / "bin" / "java"),
        "-XX:TieredStopAtLevel=1",
        "-Xmx128m",
        f"-Dlog4j2.configurationFile={INFRA / 'kafka' / 'log4j2.yaml'}",
        "-cp",
        f"{fetch.folder(servers.KAFKA)}/*",
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
        "-t",
        env["KAFKA_CLUSTER_ID"],
        "-c",
        str(kafka_properties(home)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LakehouseError(f"Kafka's log folder could not be formatted: {(done.stdout + done.stderr)[-600:]}")
