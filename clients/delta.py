"""Delta tables straight from the object store: delta-rs reads and writes the log, Arrow's own threads read the rows."""

from functools import cache
from urllib.parse import unquote

from deltalake import DeltaTable
from pyarrow import fs
from pyarrow.dataset import Dataset

from settings import Role, settings

TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5
SILENT_S = 20
ATTEMPTS = 8
"""So a storage that is started again is waited for, and one that says nothing is given up after some minutes."""


def options(role: Role = "reader") -> dict[str, str]:
    """Return delta-rs's options for the lake's object storage, with the key of a role."""
    known = settings()
    name, secret = known.storage_key(role)
    return {
        "AWS_ENDPOINT_URL": known.s3_endpoint,
        "AWS_REGION": known.s3_region,
        "AWS_ACCESS_KEY_ID": name,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ALLOW_HTTP": str(known.s3_endpoint.startswith("http://")).lower(),
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        "timeout": f"{TIMEOUT_S}s",
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
    }


def dataset(table: DeltaTable, role: Role = "reader") -> Dataset:
    """Return the rows of an open table, local or in the object store, as Arrow reads them without Python.

    The files that delta-rs itself hands to Arrow are Python objects, and a thread that lets go of one while the
    interpreter ends aborts the process after its work is done, as happened in half of the runs of a short command.
    `role` is the one that the table was opened with.
    """
    scheme, _, path = table.table_uri.rpartition("://")
    files = fs.LocalFileSystem() if scheme in {"", "file"} else _storage(role)
    return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(unquote(path), files))


@cache
def _storage(role: Role) -> fs.FileSystem:
    known = settings()
    name, secret = known.storage_key(role)
    protocol, _, address = known.s3_endpoint.partition("://")
    return fs.S3FileSystem(
        access_key=name or None,
        secret_key=secret or None,
        region=known.s3_region,
        scheme=protocol,
        endpoint_override=address,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=SILENT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
