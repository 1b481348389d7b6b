"""The wire format of a job, and which partition a tenant belongs to."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.jobs import KINDS, TENANT_ID_PATTERN, Job, State, UnreadableBody, partition_of

TENANT_IDS = st.from_regex(TENANT_ID_PATTERN, fullmatch=True)
JOBS = st.builds(
    Job,
    job_id=st.integers(1, 2**63 - 1),
    attempt=st.integers(1, 2**31 - 1),
    kind=st.sampled_from(sorted(KINDS)),
    tenant_id=TENANT_IDS,
)


@given(job=JOBS)
def test_what_is_encoded_is_decoded(job: Job) -> None:
    """Every job survives the way through Redis."""
    assert Job.decode(job.encode()) == job


def test_the_format_is_four_words() -> None:
    """Other languages write it by hand: it is part of the interface."""
    assert Job(42, 3, "products", "shop-7.x_Y").encode() == b"42 3 products shop-7.x_Y"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"1",
        b"1 1 customers",
        b"1 1 customers t1 ",
        b" 1 1 customers t1",
        b"1  1 customers t1",
        b"1 1 customers t1 more",
        b"1\t1\tcustomers\tt1",
        b"x 1 customers t1",
        b"1 x customers t1",
        b"0 1 customers t1",
        b"-1 1 customers t1",
        b"1 0 customers t1",
        b"1.0 1 customers t1",
        b"1 1 customers ",
        b"1 1 customers -t1",
        b"1 1 customers t1\n",
        b"1 1 customers a/b",
        b"1 1 customers ../t1",
        b"1 1 customers t{1}",
        "1 1 customers ção".encode(),
        b"1 1 customers " + b"t" * 65,
        b"1 1 customers \xff",
        b"\x00\x01\x02",
        b'{"job_id": 1}',
        b"9" * 5000 + b" 1 customers t1",
        b"9223372036854775808 1 customers t1",
        b"1 2147483648 customers t1",
    ],
)
def test_unreadable_bodies(body: bytes) -> None:
    """What is not exactly four words that make a job is unreadable, and the message does not repeat it."""
    with pytest.raises(UnreadableBody, match=r"^not a job body \(\d+ bytes\)$"):
        Job.decode(body)


@given(body=st.binary(max_size=60))
def test_any_bytes_are_a_job_or_unreadable(body: bytes) -> None:
    """Nothing that may stand in Redis raises anything else."""
    try:
        Job.decode(body)
    except UnreadableBody:
        return


@pytest.mark.parametrize(
    "body", [b"+1 1 customers t1", b"1_0 1 customers t1", b"01 1 customers t1", b"1\n 1 customers t1"]
)
def test_a_body_has_one_spelling(body: bytes) -> None:
    """What `encode` cannot have written is unreadable: one job must not have two members in a set."""
    with pytest.raises(UnreadableBody):
        Job.decode(body)


def test_known_partitions() -> None:
    """Other languages compute the same: crc32 of the id's bytes (zlib's), modulo the partitions."""
    assert {tenant: partition_of(tenant, 16) for tenant in ("t1", "shop-0001", "A", "a")} == {
        "t1": crc32(b"t1") % 16,
        "shop-0001": crc32(b"shop-0001") % 16,
        "A": 0xD3D99E8B % 16,
        "a": 0xE8B7BE43 % 16,
    }
    assert partition_of("123456789", 2**32) == 0xCBF43926  # the check value of this CRC


@given(tenant_id=TENANT_IDS, partitions=st.integers(1, 64))
def test_a_partition_there_is(tenant_id: str, partitions: int) -> None:
    """Every tenant belongs to one of the partitions, always the same; with one, to that."""
    assert partition_of(tenant_id, partitions) in range(partitions)
    assert partition_of(tenant_id, 1) == 0


def test_states() -> None:
    """A state is waiting, running or final, and not two of these."""
    waiting = {state for state in State if state.is_waiting}
    final = {state for state in State if state.is_final}
    assert waiting == {State.SCHEDULED, State.RETRYING}
    assert final == {State.SUCCEEDED, State.FAILED, State.CANCELLED}
    assert set(State) - waiting - final == {State.RUNNING}
