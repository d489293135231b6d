"""TLS of our HTTP servers, by SCORER_TLS and SCORER_TLS_FILE."""

from pathlib import Path
from typing import TypedDict

from errors import SettingsError
from serving.config import Config


class Options(TypedDict, total=False):
    """What uvicorn is told."""

    ssl_certfile: str
    ssl_keyfile: str


def options(config: Config) -> Options:
    """Return uvicorn's options; none where TLS is off. SettingsError if there is no certificate to speak it with."""
    if config.tls == "off":
        return {}
    if not Path(config.tls_file).is_file():
        raise SettingsError(
            f"SCORER_TLS is on, but SCORER_TLS_FILE={config.tls_file or '(nothing)'} is no file: name a PEM file with "
            "a key and its certificate; `SCORER_TLS=on make up` makes one"
        )
    return {"ssl_certfile": config.tls_file, "ssl_keyfile": config.tls_file}
