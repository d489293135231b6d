"""Superset's configuration, read by Superset in its own environment: everything that differs comes from variables."""

import os
from datetime import timedelta
from typing import Any

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_DATABASE_URL"]
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}

# A dashboard names the roles that see it (roles.yaml), so that nobody is shown charts that he may not read.
FEATURE_FLAGS = {"DASHBOARD_RBAC": True, "DRILL_TO_DETAIL": True, "DRILL_BY": True}
# The refresh runs each five minutes; a chart asked for again within one is not asked of Trino.
DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "SimpleCache",
    "CACHE_DEFAULT_TIMEOUT": int(timedelta(minutes=1).total_seconds()),
    "CACHE_THRESHOLD": 500,
}
SQLLAB_TIMEOUT = SUPERSET_WEBSERVER_TIMEOUT = 60
ROW_LIMIT = 10_000
# A page loads from here alone; so the picture by which Superset counts its openings elsewhere is refused, too.
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
}


def DB_CONNECTION_MUTATOR(  # noqa: N802 - Superset's name
    uri: Any, params: dict[str, Any], username: str | None, security_manager: Any, source: Any
) -> tuple[Any, dict[str, Any]]:
    """Return the lake's real address for the one in the assets, which names a catalog and nobody's server.

    So no address or password stands in the repository, in an export or in Superset's own database, and another port or
    password holds from the next start on.
    """
    del username, security_manager, source
    if uri.drivername != "trino":
        return uri, params
    password = os.environ["TRINO_PASSWORD"]
    more = {
        "source": "superset",
        "request_timeout": SUPERSET_WEBSERVER_TIMEOUT,
        "max_attempts": 1,
        "http_scheme": "https",
        "verify": os.environ["TRINO_CA"],
    }
    params["connect_args"] = params.get("connect_args", {}) | more
    host, port = os.environ["TRINO_HOST"], int(os.environ["TRINO_PORT"])
    return uri.set(host=host, port=port, username=os.environ["TRINO_USER"], password=password), params
