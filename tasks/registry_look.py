"""The registry's address enters, the champion's version and digest leave, within milliseconds: MLflow takes seconds to import.

A local database is read as it is (two tables of MLflow 3), a server is asked over MLflow's REST interface; any other
store is asked through MLflow itself. A test holds all three together.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path

from data_contracts.errors import OmniError
from tasks import tracking

TIMEOUT_S = 2.0
QUERY = """
select alias.version, coalesce(tag.value, '') from registered_model_aliases alias
left join model_version_tags tag on tag.name = alias.name and tag.version = alias.version and tag.key = 'model'
where alias.name = ? and alias.alias = ?
"""


class RegistryError(OmniError):
    """The registry cannot be asked; the plan then says so."""


def champion_of(home: str, name: str, alias: str) -> tuple[str, str] | None:
    """(version, digest of its QuantizedModel) behind the alias, or None; raises RegistryError when nobody answers."""
    uri = tracking.tracking_uri(home)
    if uri.startswith("sqlite:///"):
        return _in_database(Path(uri.removeprefix("sqlite:///")), name, alias)
    if uri.startswith(("http://", "https://")):
        return _on_server(uri, name, alias)
    return _through_mlflow(home, name, alias)


def _through_mlflow(home: str, name: str, alias: str) -> tuple[str, str] | None:
    client = tracking.connect(home)
    found = [model.aliases.get(alias) for model in client.search_registered_models() if model.name == name]
    if not found or not found[0]:
        return None
    return str(found[0]), client.get_model_version(name, str(found[0])).tags.get("model", "")


def _in_database(path: Path, name: str, alias: str) -> tuple[str, str] | None:
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT_S)) as database:
            found = database.execute(QUERY, (name, alias)).fetchone()
    except sqlite3.Error as error:
        raise RegistryError(f"the registry in {path} cannot be read: {error}") from error
    return (str(found[0]), found[1]) if found else None


def _on_server(uri: str, name: str, alias: str) -> tuple[str, str] | None:
    words = urllib.parse.urlencode({"name": name, "alias": alias})
    request = urllib.request.Request(
        f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias?{words}", headers=_login()
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            version = json.load(answer)["model_version"]
    except urllib.error.HTTPError as error:
        if error.code in (400, 404):  # MLflow's answers for an unknown alias and an unknown model
            return None
        raise RegistryError(f"the registry at {uri} refused: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        raise RegistryError(f"the registry at {uri} does not answer: {error}") from error
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
    return str(version["version"]), tags.get("model", "")


def _login() -> dict[str, str]:
    """MLflow's own variables."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}
