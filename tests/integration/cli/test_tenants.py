"""`streamsync tenants`: what an operator types, what is stored, what is refused and how."""

from __future__ import annotations

import json

import pytest

from streamsync.store.credentials import Credential, generate_key
from tests.integration.cli.conftest import Operator

_ADD = ("tenants", "add", "shop-1", "--name", "Shop", "--username", "u", "--password-stdin")
_HEAD = "tenant_id,name,base_url,username,password"


def _shown(operator: Operator, tenant_id: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(operator.run("tenants", "show", tenant_id, "--json").stdout)
    return shown


def test_what_is_added_is_shown(operator: Operator) -> None:
    """Authentication, storefronts, branches (special ones are negative) and cursor mode; no credential."""
    operator.run(
        *_ADD, "--base-url", "http://erp.example:6017/", "--vitrine", "9", "--vitrine", "2", "--branch", "7",
        "--branch", "-1", "--cursor-mode", "date", stdin="s3cret\n",
    )  # fmt: skip
    shown = _shown(operator, "shop-1")
    assert {name: shown[name] for name in ("auth_mode", "vitrines", "branches", "cursor_mode", "base_url")} == {
        "auth_mode": "basic", "vitrines": [9, 2], "branches": [7, -1], "cursor_mode": "date",
        "base_url": "http://erp.example:6017",
    }  # fmt: skip
    table = operator.run("tenants", "show", "shop-1").output
    for text in ("auth mode", "basic", "branches", "[7, -1]", "cursor mode", "date", "vitrines", "[9, 2]"):
        assert text in table
    assert "s3cret" not in table
    assert not set(shown) & {"credential", "password", "username"}


def test_what_is_left_out_has_a_default(operator: Operator) -> None:
    """All branches and storefronts, by trans_id."""
    operator.run(*_ADD, "--base-url", "http://erp.example", stdin="s3cret\n")
    shown = _shown(operator, "shop-1")
    assert (shown["vitrines"], shown["branches"], shown["cursor_mode"]) == ([], [], "trans_id")


def test_import_reads_the_columns(operator: Operator) -> None:
    """In any order; an empty field is the default; a second import brings up to date."""
    path = operator.csv(
        f"cursor_mode,branches,{_HEAD}",
        "date,3 -2;5,a,A,http://erp.example,u,p",
        ",,b,B,http://erp.example,u,p",
    )
    assert "2 tenants added" in operator.run("tenants", "import", path).output
    assert (_shown(operator, "a")["branches"], _shown(operator, "a")["cursor_mode"]) == ([3, -2, 5], "date")
    assert (_shown(operator, "b")["branches"], _shown(operator, "b")["cursor_mode"]) == ([], "trans_id")
    path = operator.csv(f"cursor_mode,branches,{_HEAD}", "trans_id,4,a,A,http://erp.example,u,p")
    assert "1 updated" in operator.run("tenants", "import", path).output
    assert (_shown(operator, "a")["branches"], _shown(operator, "a")["cursor_mode"]) == ([4], "trans_id")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("branches", "1 x", "branches are whole numbers"),
        ("branches", "1.5", "branches are whole numbers"),
        ("branches", "٣", "branches are whole numbers"),
        ("branches", "9999999999999999999", "branches are whole numbers"),
        ("vitrines", "-1", "storefronts are whole numbers"),
        ("cursor_mode", "newest", "trans_id or date, got 'newest'"),
    ],
)
def test_import_refuses_a_wrong_value_with_its_place(
    operator: Operator, column: str, value: str, told: str
) -> None:
    """File, line and column; and nothing of the file is stored."""
    path = operator.csv(
        f"{_HEAD},{column}", "a,A,http://erp.example,u,p,", f"b,B,http://erp.example,u,p,{value}"
    )
    result = operator.run("tenants", "import", path, status=2)
    assert f"shops.csv:3: {column}: " in result.stderr
    assert told in result.stderr
    assert operator.rows("SELECT 1 FROM tenant") == []


def test_add_refuses_a_wrong_cursor_mode(operator: Operator) -> None:
    """The words there are, and no others."""
    result = operator.run(*_ADD, "--base-url", "http://erp.example", "--cursor-mode", "x", status=2)
    assert "trans_id" in result.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://169.254.169.254/latest", "link-local"),
        ("http://[::ffff:169.254.169.254]:6017", "link-local"),
        ("http://10.0.0.5:6017", "STREAMSYNC_ERP_ALLOW_PRIVATE=true"),
        ("http://127.0.0.1:6017", "STREAMSYNC_ERP_ALLOW_PRIVATE=true"),
        ("http://other.example:6017", "STREAMSYNC_ERP_ALLOWED_HOSTS"),
        ("ftp://erp.example", "http(s)"),
        ("http://user:hunter2@erp.example", "user and password"),
        ("http://erp.example/?a=1", "'?' and '#'"),
    ],
)
def test_an_erp_that_would_be_refused_is_not_registered(operator: Operator, url: str, told: str) -> None:
    """What can be said without the DNS is said at once, by both commands, before a password is asked for."""
    allowed = {"STREAMSYNC_ERP_ALLOWED_HOSTS": "erp.example"}
    if "other" not in url:
        allowed["STREAMSYNC_ERP_ALLOWED_HOSTS"] += ",0.0.0.0/0,::/0"
    added = operator.run(*_ADD, "--base-url", url, status=2, **allowed)
    assert "--base-url: " in added.stderr
    path = operator.csv(_HEAD, f"a,A,{url},u,p")
    imported = operator.run("tenants", "import", path, status=2, **allowed)
    assert "shops.csv:2: base_url: " in imported.stderr
    for result in (added, imported):
        assert told in result.stderr
        assert "hunter2" not in result.output
    assert operator.rows("SELECT 1 FROM tenant") == []


def test_a_private_erp_is_registered_where_the_setting_allows_it(operator: Operator) -> None:
    """As the refusal says."""
    operator.run(
        *_ADD, "--base-url", "http://10.0.0.5:6017", stdin="p\n", STREAMSYNC_ERP_ALLOW_PRIVATE="true"
    )
    assert _shown(operator, "shop-1")["base_url"] == "http://10.0.0.5:6017"


def test_a_password_is_set_from_standard_input(operator: Operator, key: str) -> None:
    """The user stays; nothing of it is written anywhere but into the sealed credential."""
    operator.add("shop-1", "shop-2")
    before = operator.sealed("shop-2")
    result = operator.run("tenants", "set-credential", "shop-1", "--password-stdin", stdin="n3w p/a,ss \n")
    assert result.output == "credential of shop-1 set\n"
    assert operator.credential("shop-1", key) == Credential("shop-1", "n3w p/a,ss ")
    assert operator.sealed("shop-2") == before


def test_a_password_is_asked_for_twice_and_not_shown(operator: Operator, key: str) -> None:
    """Two that differ are asked for again; what is typed does not appear."""
    operator.add("shop-1")
    result = operator.run(
        "tenants", "set-credential", "shop-1", "--username", "Other", stdin="abcd\nabce\nn3w\nn3w\n"
    )
    assert "ERP password" in result.output
    for typed in ("abcd", "abce", "n3w"):
        assert typed not in result.output
    assert operator.credential("shop-1", key) == Credential("Other", "n3w")


def test_a_password_is_never_an_argument(operator: Operator, key: str) -> None:
    """There is no option for it, and a second word is refused."""
    operator.add("shop-1")
    operator.run("tenants", "set-credential", "shop-1", "--password", "n3w", status=2)
    operator.run("tenants", "set-credential", "shop-1", "n3w", status=2)
    assert operator.credential("shop-1", key).password == "first"


@pytest.mark.parametrize("stdin", ["", "\n", "\r\n"])
def test_an_empty_password_is_none(operator: Operator, key: str, stdin: str) -> None:
    """A closed pipe must not set one."""
    operator.add("shop-1")
    result = operator.run("tenants", "set-credential", "shop-1", "--password-stdin", stdin=stdin, status=2)
    assert "the password is empty" in result.stderr
    assert operator.credential("shop-1", key).password == "first"


def test_an_empty_user_is_none(operator: Operator) -> None:
    """Left out is one thing, empty another."""
    operator.add("shop-1")
    result = operator.run(
        "tenants", "set-credential", "shop-1", "--username", "", "--password-stdin", stdin="x\n", status=2
    )
    assert "--username" in result.stderr


@pytest.mark.parametrize("more", [(), ("--username", "u")])
def test_an_unknown_tenant_is_told(operator: Operator, more: tuple[str, ...]) -> None:
    """With what lists the known ones."""
    result = operator.run(
        "tenants", "set-credential", "nobody", "--password-stdin", *more, stdin="x\n", status=2
    )
    assert "no such tenant: nobody" in result.stderr


def test_a_credential_that_no_key_opens_can_be_replaced(operator: Operator) -> None:
    """Its user is unknown then and must be given."""
    operator.add("shop-1")
    other = generate_key()
    operator.keys(other)
    result = operator.run("tenants", "set-credential", "shop-1", "--password-stdin", stdin="x\n", status=2)
    assert "opens with none of the keys" in result.stderr
    assert "--username" in result.stderr
    operator.run("tenants", "set-credential", "shop-1", "--username", "u", "--password-stdin", stdin="x\n")
    assert operator.credential("shop-1", other) == Credential("u", "x")
