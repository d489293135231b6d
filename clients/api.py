"""The scorer as its clients in this repository see it: plain HTTP, or HTTPS by the authority in API_CA."""

import ssl
from functools import lru_cache

from errors import SettingsError
from settings import settings


@lru_cache(maxsize=1)
def trust() -> ssl.SSLContext:
    """Return whom to trust, for httpx's `verify`: API_CA alone where it is set, else what this machine trusts."""
    file = settings().api_ca
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"API_CA={file} cannot be read as a certificate: {error}") from error
