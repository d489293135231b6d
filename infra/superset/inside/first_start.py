"""Make Superset's tables, permissions and administrator, in one start of Superset instead of three."""

import os
from pathlib import Path

import superset
from flask_migrate import upgrade
from superset.app import create_app

with create_app().app_context():
    upgrade(directory=str(Path(superset.__file__).parent / "migrations"))

# Anew: what the first one found of the database, before there was any table, must not be believed.
with create_app().app_context():
    from superset.extensions import appbuilder, db, security_manager

    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    password = os.environ["SUPERSET_PASSWORD"]
    known = security_manager.find_user(username="admin")
    if known:
        security_manager.reset_password(known.id, password)
    else:
        role = security_manager.find_role("Admin")
        security_manager.add_user("admin", "Administrator", "of Superset", "admin@localhost", role, password=password)
    db.session.commit()
