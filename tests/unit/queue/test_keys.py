"""Keys: the dictionary in lua/KEYS.md says what the code spells, and a partition shares one slot."""

from __future__ import annotations

import re

from streamsync.queue.keys import PartitionKeys, credential_key, limit_keys
from streamsync.resources import lua_dir

KEYS = PartitionKeys("Q", 0)
ALL = [KEYS.delayed, KEYS.stream, KEYS.urgent, KEYS.dead, KEYS.wake, KEYS.lock("t1")]


def hash_tag(key: bytes) -> bytes:
    """The part of a key that decides about its slot on a cluster."""
    match = re.search(rb"\{([^}]+)\}", key)
    return match[1] if match else key


def test_a_partitions_keys_share_a_slot() -> None:
    """Every script touches one partition's keys: on a cluster they must be in one place."""
    assert {hash_tag(key) for key in ALL} == {b"Q:0"}
    assert hash_tag(PartitionKeys("Q", 1).stream) == b"Q:1"
    assert len({hash_tag(key) for key in limit_keys("Q", "erp")}) == 1
    assert len({hash_tag(credential_key("Q", name)) for name in ("a", "b", "tenant:{c}")}) == 1


def test_no_two_keys_are_the_same() -> None:
    """Partitions, queues, tenants and limits keep apart."""
    others = [PartitionKeys("Q", 1).stream, PartitionKeys("R", 0).stream, KEYS.lock("t2")]
    limits = [*limit_keys("Q", "erp"), *limit_keys("Q", "host"), *limit_keys("R", "erp")]
    credentials = [credential_key("Q", "a"), credential_key("Q", "b"), credential_key("R", "a")]
    everything = [*ALL, *others, *limits, *credentials]
    assert len(set(everything)) == len(everything)


def test_the_dictionary_lists_them_all() -> None:
    """KEYS.md has a row for each key, and no row for a key that does not exist."""
    rows = re.findall(r"^\| `(streamsync:[^`]+)`", (lua_dir() / "KEYS.md").read_text(encoding="utf-8"), re.M)
    spelled = [key.decode().replace("{Q:0}", "{Q:N}").replace(":t1", ":<tenant>") for key in ALL]
    spelled += [credential_key("Q", "<credential>").decode()]
    spelled += [key.decode() for key in limit_keys("Q", "<name>")]
    assert sorted(rows) == sorted(spelled)
