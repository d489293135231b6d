"""What lets users into Trino: made once, for its owner's eyes, and made again only when it must be."""

import hashlib
import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from errors import LakehouseError
from infra.native import stackenv
from infra.native.paths import INFRA, Home
from infra.native.setup import certificates
from infra.native.setup.trino_access import USERS, authority, bundle, folder, password, write
from settings import PROJECT_DIR

ENV = {password(user): f"secret of {user}" for user in USERS}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with what Trino reads."""
    found = Home(tmp_path / "home")
    found.make()
    write(found, ENV)
    return found


def test_the_certificate_is_signed_by_the_authority_that_clients_trust(home: Home) -> None:
    """It names loopback and the container's host, and its signature is the authority's."""
    root = x509.load_pem_x509_certificate(authority(home).read_bytes())
    found = x509.load_pem_x509_certificate((folder(home) / "server.pem").read_bytes())
    found.verify_directly_issued_by(root)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "trino"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert authority(home).read_text() in bundle(home).read_text()
    assert bundle(home).read_text().count("BEGIN CERTIFICATE") > 50


def test_the_authoritys_key_is_nowhere(home: Home) -> None:
    """One private key is kept, the server's own."""
    root = x509.load_pem_x509_certificate(authority(home).read_bytes())
    keys = [path for path in home.root.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [folder(home) / "server.pem"]
    own = x509.load_pem_x509_certificate(keys[0].read_bytes()).public_key()
    assert isinstance(own, ec.EllipticCurvePublicKey)
    assert own != root.public_key()


def test_a_second_start_keeps_the_certificate_until_it_ends_soon(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that know the authority go on knowing it; two months before its end there is a new one."""
    before = authority(home).read_bytes()
    write(home, ENV)
    assert authority(home).read_bytes() == before
    monkeypatch.setattr(certificates, "RENEWED", certificates.VALID)
    write(home, ENV)
    assert authority(home).read_bytes() != before


def test_passwords_stand_as_digests_for_their_owner_only(home: Home) -> None:
    """Each user's line is salted PBKDF2 of the password, and no other user of the machine may read it."""
    path = folder(home) / "passwords.db"
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
    assert tuple(lines) == USERS
    rounds, salt, digest = lines["auditor"].split(":")
    again = hashlib.pbkdf2_hmac("sha1", b"secret of auditor", bytes.fromhex(salt), int(rounds))
    assert again.hex() == digest
    assert "secret" not in path.read_text()
    for secret in (path, folder(home) / "server.pem"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_every_user_has_rules() -> None:
    """A user that the rules do not name could do nothing; a rule for nobody would be a slip."""
    rules = json.loads((INFRA / "trino" / "rules.json").read_text())
    named = {user for part in rules.values() for rule in part for user in rule.get("user", "").split("|") if user}
    assert named == set(USERS)


def test_a_shell_can_be_any_user_of_trino_and_no_other() -> None:
    """`make env AS=auditor` exports that user's password; a name that Trino does not know is refused."""
    lines = stackenv.exports({"TRINO_USER": "dbt", "TRINO_PASSWORD": "x", **ENV}, "auditor")
    assert "export TRINO_USER=auditor" in lines
    assert "export TRINO_PASSWORD='secret of auditor'" in lines
    with pytest.raises(LakehouseError, match="no user root; there are admin, dbt, analyst, auditor, superset"):
        stackenv.exports(ENV, "root")


@pytest.mark.parametrize(("words", "asked"), [((), "env"), (("AS=analyst",), "env --as analyst")])
def test_make_env_is_for_whom_it_is_asked(words: tuple[str, ...], asked: str) -> None:
    """`make env` is of the stack's own user unless another is named: make has a variable AS of its own."""
    command = ["make", "-n", "--no-print-directory", "env", *words]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(f"infra.native {asked}")
