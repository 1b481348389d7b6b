"""Commands as an operator runs them, on a real database; secrets in files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.rows import dict_row

from streamsync.cli.main import cli
from streamsync.config.registry import KNOWN_VARIABLES
from streamsync.store.credentials import Credential, CredentialBox, generate_key


@dataclass
class Operator:
    """Runs commands and looks into the database."""

    folder: Path
    database_url: str

    def keys(self, *keys: str) -> None:
        """Write the file of keys."""
        (self.folder / "keys").write_text("\n".join(keys))

    def run(self, *arguments: str, stdin: str | None = None, status: int = 0, **variables: str) -> Result:
        """Run `streamsync ARGUMENTS`, which ends with this status and without a traceback."""
        environment = {
            "DATABASE_URL": self.database_url,
            "STREAMSYNC_CREDENTIAL_KEYS_FILE": str(self.folder / "keys"),
            **variables,
        }
        result = CliRunner().invoke(cli, arguments, input=stdin, env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == status, result.output
        return result

    def csv(self, *lines: str) -> str:
        """The path of a CSV file with these lines."""
        path = self.folder / "shops.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    def add(self, *tenant_ids: str, password: str = "first") -> None:
        """Import tenants whose user is called like them."""
        head = "tenant_id,name,base_url,username,password"
        self.run(
            "tenants",
            "import",
            self.csv(head, *(f"{t},{t},http://erp.example,{t},{password}" for t in tenant_ids)),
        )

    def rows(self, query: LiteralString, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Rows of one statement."""
        with psycopg.connect(self.database_url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def sealed(self, tenant_id: str) -> bytes:
        """A tenant's credential as it is stored."""
        (row,) = self.rows("SELECT credential FROM tenant WHERE tenant_id = %s", [tenant_id])
        return bytes(row["credential"])

    def credential(self, tenant_id: str, *keys: str) -> Credential:
        """A tenant's credential, opened with these keys."""
        return CredentialBox(keys).open(tenant_id, self.sealed(tenant_id))


@pytest.fixture
def key() -> str:
    """The operator's key."""
    return generate_key()


@pytest.fixture
def operator(tmp_path: Path, database_url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """An operator in an empty folder, with one key, and no setting but the database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamsync.config.sources.DEFAULT_SECRETS_DIR", str(tmp_path / "no-secrets"))
    for name in KNOWN_VARIABLES & set(os.environ):
        monkeypatch.delenv(name)
    operator = Operator(tmp_path, database_url)
    operator.keys(key)
    return operator
