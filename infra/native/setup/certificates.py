"""Certificates of this stack's servers: each signed by an authority of its own, whose key is thrown away."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.native.paths import write_secret

VALID = dt.timedelta(days=820)
RENEWED = dt.timedelta(days=60)
LOOPBACK = ("127.0.0.1", "::1")


def ensure(server: Path, authority: Path, *hosts: str) -> None:
    """Make key and certificate of a server (one PEM) and the authority that clients trust; good ones are kept.

    It is for `hosts`, the first of which is its name, and for this machine. One that ends within two months is made
    anew.
    """
    if server.is_file() and authority.is_file() and ends(authority) > dt.datetime.now(dt.UTC) + RENEWED:
        return
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in ("localhost", *hosts)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in LOOPBACK]
    server.parent.mkdir(parents=True, exist_ok=True)
    _certify(server, authority, hosts[0], names)


def ends(authority: Path) -> dt.datetime:
    """Return when an authority ends, and with it the certificate that it signed."""
    return x509.load_pem_x509_certificate(authority.read_bytes()).not_valid_after_utc


def _certify(server: Path, authority: Path, name: str, names: Sequence[x509.GeneralName]) -> None:
    """Make an authority that signs one certificate; its key is not kept, so that nobody can sign another."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fraud-lakehouse, one stack")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
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
        _unsigned(subject, root_name, key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
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
