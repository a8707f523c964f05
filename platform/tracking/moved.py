"""MLflow's sqlite database after its folder has moved: it keeps absolute URIs of its artifacts."""

import sqlite3
from contextlib import closing
from pathlib import Path

COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow 3 keeps URIs of artifacts."""


def relocate(database: Path, artifacts: Path) -> bool:
    """Let the database find its artifacts in ``artifacts``, beside it; whether they were elsewhere before.

    The experiments of this program have their artifacts in a folder each. A copy of a storage must not write
    to the original, so that the artifacts beside a database are always its own. Raises
    sqlite3.DatabaseError for a damaged or locked database.
    """
    if not database.exists() or artifacts.parent != database.parent:
        return False
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        new, olds = artifacts.as_uri(), elsewhere(connection, artifacts)
        for old in olds:
            for table, column in _present(connection):  # names of ours; values are parameters
                change = f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                size = len(old)
                connection.execute(f"{change} WHERE substr({column}, 1, ?) = ?", (new, size + 1, size, old))
        return bool(olds)


def elsewhere(connection: sqlite3.Connection, artifacts: Path) -> set[str]:
    """URIs of folders other than ``artifacts`` where a database has the artifacts of its experiments."""
    if ("experiments", "artifact_location") not in _present(connection):
        return set()
    rows = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    ends = [(location, f"/{artifacts.name}/{name}") for name, location in rows]
    places = {uri.removesuffix(end) + f"/{artifacts.name}" for uri, end in ends if uri.endswith(end)}
    return places - {artifacts.as_uri()}


def _present(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Tables and columns that this database has."""
    found = []
    for table, names in COLUMNS.items():
        present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        found += [(table, name) for name in names if name in present]
    return found
