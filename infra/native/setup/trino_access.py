"""Who may enter Trino: its certificate, the users' passwords and the access rules, written for the server to read."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import certifi

from infra.native.paths import INFRA, Home, write_secret
from infra.native.setup import certificates, scorer_tls

Env = Mapping[str, str]
USERS = ("admin", "dbt", "analyst", "auditor", "superset")
"""What each may do stands in infra/trino/rules.json, and as a table in docs/operator.md."""
ITERATIONS = 100_000


def folder(home: Home) -> Path:
    """Return where Trino finds all of it: the folder `etc` of the one it runs in."""
    return home.data("trino") / "etc"


def authority(home: Home) -> Path:
    """Return the certificate by which clients know this stack's Trino."""
    return folder(home) / "ca.pem"


def bundle(home: Home) -> Path:
    """Return that certificate together with those that this machine trusts anyway, for REQUESTS_CA_BUNDLE."""
    return folder(home) / "bundle.pem"


def password(user: str) -> str:
    """Return the name of the variable that holds a user's password."""
    return f"TRINO_{user.upper()}_PASSWORD"


def write(home: Home, env: Env) -> None:
    """Write what Trino reads at start; a certificate that is still good for two months is kept."""
    place = folder(home)
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    certificates.ensure(place / "server.pem", authority(home), "trino")
    trusted = Path(os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where())
    known = trusted.read_text() if trusted != bundle(home) and trusted.is_file() else Path(certifi.where()).read_text()
    ours = [path.read_text() for path in (authority(home), scorer_tls.authority(home)) if path.is_file()]
    bundle(home).write_text("\n".join([known, *ours]))
    lines = (f"{user}:{_digest(env[password(user)])}" for user in USERS)
    write_secret(place / "passwords.db", "\n".join(lines) + "\n")
    for name in ("rules.json", "resource-groups.json", "resource-groups.properties"):
        shutil.copyfile(INFRA / "trino" / name, place / name)
    _properties(
        place / "password-authenticator.properties",
        {"password-authenticator.name": "file", "file.password-file": place / "passwords.db"},
    )
    _properties(
        place / "access-control.properties",
        {"access-control.name": "file", "security.config-file": place / "rules.json"},
    )


def _digest(secret: str) -> str:
    salt = os.urandom(16)
    digest = hashlib.pbkdf2_hmac("sha1", secret.encode(), salt, ITERATIONS)
    return f"{ITERATIONS}:{salt.hex()}:{digest.hex()}"


def _properties(path: Path, values: Mapping[str, object]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
