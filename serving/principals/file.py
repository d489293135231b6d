"""The file of API keys, `keys.json`: read and checked whole, changed under a lock, replaced in one step, mode 0600.

It has each key's SHA-256, never the key. On a cluster it is a mounted secret (KEYS_FILE).
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from errors import CARD_LIKE, InputError
from serving.principals.principal import Principal, Role
from settings import is_placeholder, lakehouse_home, settings

ALL: Final = "*"


def _no_card_number(name: str) -> str:
    if CARD_LIKE.search(name):
        raise ValueError("it looks like a card number")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"), AfterValidator(_no_card_number)]
Source = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f*]+$")]


class Key(BaseModel):
    """One key, by its SHA-256. Two keys of one name are one principal, while one replaces the other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Name
    role: Role
    sources: list[Source] | Literal["*"]
    until: AwareDatetime
    added_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    @property
    def ident(self) -> str:
        """What the key is called where there are two of one name."""
        return self.sha256[:8]

    def in_force(self, now: datetime) -> bool:
        """Return whether it opens anything at `now`."""
        return self.revoked_at is None and self.until > now

    def principal(self) -> Principal:
        """Return whom it stands for."""
        sources = None if self.sources == ALL else frozenset(self.sources)
        return Principal(self.name, self.role, sources, self.sha256, self.until.timestamp())


class Keys(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid")

    keys: list[Key]


def path() -> Path:
    """Return where the keys stand: KEYS_FILE, else `keys.json` in LAKEHOUSE_HOME."""
    return Path(settings().keys_file) if settings().keys_file else lakehouse_home() / "keys.json"


def fingerprint(key: str | bytes) -> str:
    """Return the SHA-256 by which a key is known."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


def read(file: Path) -> list[Key]:
    """Return the keys in a file, those that are over too; InputError says what is wrong with it, never with a value."""
    try:
        found = Keys.model_validate_json(file.read_bytes()).keys
    except FileNotFoundError as error:
        raise InputError(f"there is no file of API keys at {file}: `python -m serving keys add` makes it") from error
    except OSError as error:
        raise InputError(f"the file of API keys {file} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            f"the file of API keys {file} is damaged at {where}: {first['msg']}; restore it, or "
            "make the keys anew with `python -m serving keys add`"
        ) from None
    if settings().lakehouse_env != "local":
        for key in found:
            if is_placeholder(key.sha256):
                raise InputError(f"{file}: the key of {key.name} is a known placeholder; revoke it and add another")
    return found


def add(file: Path, key: Key) -> None:
    """Put a key into the file; InputError if it is there, over already, or its name is another principal's."""
    if is_placeholder(key.sha256):
        raise InputError("that key is a known placeholder; leave --sha256 out to have one made")
    if not key.in_force(datetime.now(UTC)):
        raise InputError(f"the key would be over already, at {key.until.isoformat()}")
    with _changing(file) as keys:
        if any(each.sha256 == key.sha256 for each in keys):
            raise InputError("this key is in the file already")
        for each in keys:
            if each.name == key.name and (each.role, each.sources) != (key.role, key.sources):
                raise InputError(
                    f"{key.name} is or was {each.role} of {shown(each.sources)}: verdicts carry the name, so another "
                    "principal needs another one"
                )
        keys.append(key)


def revoke(file: Path, name: str, ident: str | None = None) -> int:
    """End the keys of a name (or the one that begins with `ident`) and return how many; InputError if there is none."""
    now, count = datetime.now(UTC), 0
    with _changing(file) as keys:
        for place, each in enumerate(keys):
            if each.name == name and each.revoked_at is None and (ident is None or each.ident == ident):
                keys[place] = each.model_copy(update={"revoked_at": now})
                count += 1
        if not count:
            raise InputError(
                f"there is no key of {name}{f' called {ident}' if ident else ''} to revoke; see `keys list`"
            )
    return count


def shown(sources: list[str] | str) -> str:
    """Return sources as people read them."""
    return "all sources" if sources == ALL else ", ".join(sources)


@contextmanager
def _changing(file: Path) -> Iterator[list[Key]]:
    """Lend the keys to be changed; they are written when the body ends well. One at a time, whoever else writes."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_name(f".{file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = read(file) if file.exists() else []
            yield keys
            _write(file, keys)
    except OSError as error:
        raise InputError(f"the file of API keys {file} cannot be written: {error}") from error


def _write(file: Path, keys: list[Key]) -> None:
    text = json.dumps(Keys(keys=keys).model_dump(mode="json", exclude_none=True), indent=1)
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
