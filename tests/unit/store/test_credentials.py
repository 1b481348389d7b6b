"""Credentials are sealed for one tenant, with keys that rotate."""

from __future__ import annotations

import pytest

from streamsync.errors import ConfigurationError
from streamsync.store.credentials import Credential, CredentialBox, generate_key

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
