"""Whether our own HTTP speaks TLS, by the setting SCORER_TLS, and the certificate that it has then."""

import os
from collections.abc import Mapping
from pathlib import Path

from errors import LakehouseError
from infra.native.paths import Home
from infra.native.setup import certificates

Env = Mapping[str, str]
KINDS = ("off", "on")
"""The first is the default: everything listens on loopback."""
OURS = ("API_URL", "DESK_URL")
"""Addresses of our own HTTP, where there are such."""


def authority(home: Home) -> Path:
    """Return the certificate by which clients know this stack's scorer."""
    return home.etc / "scorer" / "ca.pem"


def variables(home: Home, before: Env, addresses: Env, environ: Env = os.environ) -> dict[str, str]:
    """Return the variables of servers and clients: by what SCORER_TLS says now, else by what it was."""
    kind = environ.get("SCORER_TLS") or before.get("SCORER_TLS") or KINDS[0]
    if kind not in KINDS:
        raise LakehouseError(f"there is no SCORER_TLS={kind}; it is one of {', '.join(KINDS)}")
    on = kind == "on"
    return {
        "SCORER_TLS": kind,
        "SCORER_TLS_FILE": str(home.etc / "scorer" / "server.pem") if on else "",
        "API_CA": str(authority(home)) if on else "",
        **{
            name: addresses[name].replace("http://", "https://", 1) if on else addresses[name]
            for name in OURS
            if name in addresses
        },
    }


def write(home: Home, env: Env) -> None:
    """Make the certificate of a stack that speaks TLS; one that is good for two months is kept."""
    if env["SCORER_TLS"] == "on":
        certificates.ensure(Path(env["SCORER_TLS_FILE"]), authority(home), "scorer", "desk")
