"""Who may enter Trino: its certificate, the users' passwords and the access rules, written for the server to read."""

import datetime as dt
import hashlib
import ipaddress
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.native.paths import INFRA, Home, write_secret

Env = Mapping[str, str]
USERS = ("admin", "dbt", "analyst", "auditor", "superset")
"""What each may do stands in infra/trino/rules.json, and as a table in docs/operator.md."""
ITERATIONS = 100_000
VALID = dt.timedelta(days=820)
RENEWED = dt.timedelta(days=60)
NAMES = [
    x509.DNSName("localhost"),
    x509.DNSName("trino"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
]


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
    if not _is_good(authority(home)):
        _certify(place / "server.pem", authority(home))
    trusted = Path(os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where())
    known = trusted.read_text() if trusted != bundle(home) and trusted.is_file() else Path(certifi.where()).read_text()
    bundle(home).write_text(f"{known}\n{authority(home).read_text()}")
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


def _is_good(path: Path) -> bool:
    if not path.is_file():
        return False
    found = x509.load_pem_x509_certificate(path.read_bytes())
    return found.not_valid_after_utc > dt.datetime.now(dt.UTC) + RENEWED


def _certify(server: Path, authority: Path) -> None:
    """Make an authority that signs one certificate; its key is not kept, so that nobody can sign another."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fraud-lakehouse, one stack")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trino")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    root = (
        _unsigned(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(root_key, hashes.SHA256())
    )
    signed = (
        _unsigned(name, root_name, key)
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(server, (private + signed.public_bytes(encoding)).decode())
    authority.write_bytes(root.public_bytes(encoding))


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _properties(path: Path, values: Mapping[str, object]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
