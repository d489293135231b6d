"""Buckets, keys and rights of the object storage: the only module that makes MinIO's own calls."""

from collections.abc import Mapping
from typing import Any

Env = Mapping[str, str]
READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


def buckets(env: Env) -> list[str]:
    """Make the buckets that are missing; returns those made. Plain S3 calls."""
    from infra.native.state.asking import s3

    client = s3(env, "S3_ROOT")
    made = []
    for name in (env["S3_BUCKET"], "mlflow"):
        if not client.bucket_exists(name):
            client.make_bucket(name)
            made.append(name)
    return made


def keys(env: Env) -> None:
    """Make or renew each engine's key with its own rights only; raises minio's errors."""
    from minio import MinioAdmin
    from minio.credentials import StaticProvider

    admin = MinioAdmin(
        endpoint=env["S3_ENDPOINT"].removeprefix("http://"),
        credentials=StaticProvider(env["S3_ROOT_ACCESS_KEY"], env["S3_ROOT_SECRET_KEY"]),
        region=env["S3_REGION"],
        secure=False,
    )
    lake = env["S3_BUCKET"]
    users = {
        "spark": ("S3_SPARK_ACCESS_KEY", "S3_SPARK_SECRET_KEY", spark_rights(lake)),
        "trino": ("S3_TRINO_ACCESS_KEY", "S3_TRINO_SECRET_KEY", trino_rights(lake)),
        "mlflow": ("S3_MLFLOW_ACCESS_KEY", "S3_MLFLOW_SECRET_KEY", rights("mlflow", write=("",))),
        "reader": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", rights(lake, read=("",))),
    }
    for role, (key, secret, policy) in users.items():
        admin.policy_add(role, policy=policy)
        admin.user_add(env[key], env[secret])
        _attach(admin, role, env[key])


def spark_rights(lake: str) -> dict[str, Any]:
    """Spark writes Bronze, its checkpoints and its leases, and sees nothing else."""
    return rights(lake, write=("bronze/", "_checkpoints/", "_leases/"))


def trino_rights(lake: str) -> dict[str, Any]:
    """Trino writes Silver, Gold, the record of its own runs and the catalog, and reads Bronze."""
    return rights(lake, write=("silver/", "gold/", "ops/", "_metastore/"), read=("bronze/",))


def rights(bucket: str, write: tuple[str, ...] = (), read: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the policy that lets its holder list, read and write under these prefixes of one bucket."""
    arn = f"arn:aws:s3:::{bucket}"
    listed = [name for prefix in (*write, *read) for name in ({prefix + "*", prefix.rstrip("/")} if prefix else {"*"})]
    listing: dict[str, Any] = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn]}
    if "*" not in listed:
        listing["Condition"] = {"StringLike": {"s3:prefix": sorted(listed)}}
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], "Resource": [arn]},
        listing,
    ]
    for actions, prefixes in ((WRITE, write), (READ, read)):
        if prefixes:
            resources = [f"{arn}/{prefix}*" for prefix in prefixes]
            statements.append({"Effect": "Allow", "Action": list(actions), "Resource": resources})
    return {"Version": "2012-10-17", "Statement": statements}


def _attach(admin: Any, policy: str, user: str) -> None:
    from minio.error import MinioAdminException

    try:
        admin.attach_policy([policy], user=user)
    except MinioAdminException as error:
        # A second start finds the policy attached: that is what was asked for.
        if "PolicyChangeAlreadyApplied" not in str(error):
            raise
