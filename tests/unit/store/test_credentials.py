"""Credentials are sealed for one tenant, with keys that rotate."""

from __future__ import annotations

import pytest

from streamsync.errors import ConfigurationError
from streamsync.store.credentials import Credential, CredentialBox, credential_identity, generate_key

_CREDENTIAL = Credential("usuário", 'sénha / com " tudo 🔑')


def test_what_is_sealed_opens() -> None:
    """For the tenant it was sealed for, whatever characters it has."""
    box = CredentialBox([generate_key()])
    sealed = box.seal("a", _CREDENTIAL)
    assert box.open("a", sealed) == _CREDENTIAL
    assert b"tudo" not in sealed
    assert sealed != box.seal("a", _CREDENTIAL)


def test_it_opens_for_no_other_tenant() -> None:
    """A row copied to another tenant is of no use there."""
    box = CredentialBox([generate_key()])
    with pytest.raises(ConfigurationError, match="another tenant"):
        box.open("b", box.seal("a", _CREDENTIAL))


def test_a_new_key_in_front_seals_and_the_old_one_still_opens() -> None:
    """Rotation: both are known for a while; without the old key its credentials do not open."""
    old, new = generate_key(), generate_key()
    sealed = CredentialBox([old]).seal("a", _CREDENTIAL)
    both = CredentialBox([new, old])
    assert both.open("a", sealed) == _CREDENTIAL
    assert CredentialBox([new]).open("a", both.seal("a", _CREDENTIAL)) == _CREDENTIAL
    with pytest.raises(ConfigurationError, match="STREAMSYNC_CREDENTIAL_KEYS"):
        CredentialBox([new]).open("a", sealed)


@pytest.mark.parametrize("broken", [b"", b"x", b"gAAAAA"])
def test_what_was_not_sealed_does_not_open(broken: bytes) -> None:
    """Rubbish and cut tokens are told as a matter of keys."""
    with pytest.raises(ConfigurationError):
        CredentialBox([generate_key()]).open("a", broken)


def test_a_password_does_not_show() -> None:
    """Not in a repr, not in an error."""
    assert "tudo" not in repr(_CREDENTIAL)


def test_the_identity_is_the_user_of_a_server() -> None:
    """Host, port and user, whatever their case, and nothing that could be read back; not the password or the path."""
    same = {
        credential_identity("http://ERP.example:80/x", "Loja"),
        credential_identity("http://erp.example/", "LOJA "),
        credential_identity("http://erp.example.", "loja"),
    }
    assert len(same) == 1
    others = {
        credential_identity("http://erp.example:6017", "loja"),
        credential_identity("https://erp.example", "loja"),
        credential_identity("http://other.example", "loja"),
        credential_identity("http://erp.example", "outra"),
    }
    assert len(others | same) == 5
    assert all(len(identity) == 32 and "loja" not in identity for identity in others | same)


def test_a_session_opens_for_its_credential_only() -> None:
    """Sealed, and useless in another row or without the key."""
    box = CredentialBox([generate_key()])
    sealed = box.seal_session("one", "{GUID}")
    assert b"GUID" not in sealed
    assert box.open_session("one", sealed) == "{GUID}"
    assert box.open_session("two", sealed) is None
    assert CredentialBox([generate_key()]).open_session("one", sealed) is None
