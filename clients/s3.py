"""The object store by the S3 API: whole small objects, conditional writes and listings; vendor errors mapped once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from errors import DeniedError, ServerError, UnreachableError
from settings import Role, settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_S = 2
READ_S = 10
NOT_FOUND = frozenset({"404", "NoSuchKey", "NotFound"})
CHANGED = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
DENIED = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})


class Stored(NamedTuple):
    """A small object: its bytes, and the tag that changes with every write."""

    body: bytes
    etag: str


@cache
def connect(role: Role = "reader") -> "S3Client":
    """Return the S3 client of a role; nothing is asked yet."""
    known = settings()
    name, secret = known.storage_key(role)
    return boto3.client(
        "s3",
        endpoint_url=known.s3_endpoint,
        region_name=known.s3_region,
        aws_access_key_id=name or None,
        aws_secret_access_key=secret or None,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"total_max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": "path"},
        ),
    )


def read(key: str, role: Role = "reader") -> Stored | None:
    """Return the object at `key` of the lake's bucket, or None when there is none."""
    with _mapped(f"reading {key}"):
        try:
            found = connect(role).get_object(Bucket=settings().s3_bucket, Key=key)
        except ClientError as error:
            if _code(error) in NOT_FOUND:
                return None
            raise
        return Stored(found["Body"].read(), found["ETag"])


def create(key: str, body: bytes, role: Role) -> str | None:
    """Write `body` where nothing is yet and return its tag; None when somebody was first."""
    with _mapped(f"creating {key}"), _unless_changed() as outcome:
        made = connect(role).put_object(Bucket=settings().s3_bucket, Key=key, Body=body, IfNoneMatch="*")
        outcome.append(made["ETag"])
    return outcome[0] if outcome else None


def replace(key: str, body: bytes, etag: str, role: Role) -> str | None:
    """Write `body` over the object that has `etag` and return the new tag; None when it has changed since."""
    with _mapped(f"replacing {key}"), _unless_changed() as outcome:
        made = connect(role).put_object(Bucket=settings().s3_bucket, Key=key, Body=body, IfMatch=etag)
        outcome.append(made["ETag"])
    return outcome[0] if outcome else None


def delete(key: str, role: Role) -> None:
    """Delete the object at `key`; it need not exist."""
    with _mapped(f"deleting {key}"):
        connect(role).delete_object(Bucket=settings().s3_bucket, Key=key)


def keys(prefix: str, role: Role = "reader") -> Iterator[str]:
    """Yield every key that begins with `prefix`, in order."""
    with _mapped(f"listing {prefix}"):
        pages = connect(role).get_paginator("list_objects_v2").paginate(Bucket=settings().s3_bucket, Prefix=prefix)
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", []))


def folders(prefix: str, role: Role = "reader") -> Iterator[str]:
    """Yield the names of the folders right under `prefix` (which ends in a slash), without what lies in them."""
    with _mapped(f"listing {prefix}"):
        pages = (
            connect(role)
            .get_paginator("list_objects_v2")
            .paginate(Bucket=settings().s3_bucket, Prefix=prefix, Delimiter="/")
        )
        for page in pages:
            yield from (item["Prefix"].removeprefix(prefix).rstrip("/") for item in page.get("CommonPrefixes", []))


def objects(role: Role = "reader") -> Iterator[tuple[str, bytes]]:
    """Yield (key, bytes) of every object in the lake's bucket; one that goes away meanwhile is left out."""
    for key in keys("", role):
        if (found := read(key, role)) is not None:
            yield key, found.body


def exists(prefix: str, role: Role = "reader") -> bool:
    """Say whether any key begins with `prefix`."""
    return next(keys(prefix, role), None) is not None


@contextmanager
def _unless_changed() -> Iterator[list[str]]:
    outcome: list[str] = []
    try:
        yield outcome
    except ClientError as error:
        # If-Match on an object that is gone answers 404: it too has changed since.
        if _code(error) not in CHANGED | NOT_FOUND or _code(error) == "NoSuchBucket":
            raise


@contextmanager
def _mapped(what: str) -> Iterator[None]:
    place = f"{settings().s3_endpoint} bucket {settings().s3_bucket}"
    try:
        yield
    except ClientError as error:
        if _code(error) in DENIED:
            raise DeniedError(f"s3 {place}: {what}: {error}; is this role's key allowed there?") from error
        raise ServerError(f"s3 {place}: {what}: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise UnreachableError(f"s3 {place} does not answer ({what}): {error}; see `make status`") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
