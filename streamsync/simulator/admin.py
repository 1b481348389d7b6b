"""The simulator's own controls, by call and under `/_admin`: faults, holds, switches, the world, the log, the truth.

What there is under `/_admin`: the cases of `Admin._act`, and `GET /_admin/truth?tenant=&table=` as JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

import orjson

from streamsync.simulator.access import Access
from streamsync.simulator.answers import Answer
from streamsync.simulator.data import entity_of
from streamsync.simulator.faults import Fault, FaultBoard, fault_of
from streamsync.simulator.journal import Entry, Journal
from streamsync.simulator.people import Row
from streamsync.simulator.switches import SwitchBoard, Switches, described
from streamsync.simulator.truth import line_of
from streamsync.simulator.world import World


class Admin:
    """What tests and checkers do to a simulator in their own process."""

    def __init__(
        self, faults: FaultBoard, journal: Journal, switches: SwitchBoard, access: Access, world: World
    ) -> None:
        self._faults = faults
        self._journal = journal
        self._switches = switches
        self._access = access
        self.world = world
        # What a tenant's ERP goes through; see `World`.
        self.change = world.change
        self.insert = world.insert
        self.delete = world.delete
        self.delete_nested = world.delete_nested
        self.snapshot = world.snapshot
        self.restore = world.restore

    def fault(
        self,
        kind: str,
        tenant: str | None = None,
        *,
        rate: float = 1.0,
        times: int | None = None,
        seconds: float = 0.0,
        retry_after: float | None = None,
        after_requests: int = 0,
        method: str | None = None,
        status: int | None = None,
    ) -> Fault:
        """Put a fault in force; see `faults.KINDS` and `Fault`."""
        return self._faults.add(
            Fault(kind, tenant, rate, times, seconds, retry_after, after_requests, method, status)
        )

    def clear_faults(self) -> None:
        """Take all faults away; held requests go on."""
        self._faults.clear()

    def hold(self, tenant: str | None = None, *, after_requests: int = 0, method: str | None = None) -> Fault:
        """Make matching requests wait until `release`."""
        return self.fault("hold", tenant, after_requests=after_requests, method=method)

    def release(self, tenant: str | None = None) -> int:
        """Let held requests go on and take their holds away; how many were held."""
        return self._faults.release(tenant)

    def held(self, tenant: str | None = None) -> int:
        """How many requests are held now."""
        return self._faults.held(tenant)

    async def wait_held(self, tenant: str | None = None, *, count: int = 1, timeout: float = 10.0) -> None:
        """Return once so many requests are held. Raises TimeoutError."""
        await self._faults.wait_held(tenant, count, timeout)

    async def wait_idle(self, tenant: str | None = None, *, timeout: float = 10.0) -> None:
        """Return once no request is running, of one tenant or at all. Raises TimeoutError."""
        await self._journal.wait_idle(tenant, timeout)

    def requests(self, tenant: str | None = None, *, since: int = 0) -> list[Entry]:
        """The request log, oldest first; `since` is the number of the last entry already seen."""
        return self._journal.entries(tenant, since)

    def stats(self) -> dict[str, object]:
        """Counts since the start or the last reset."""
        return {
            **self._journal.stats(),
            **self._access.stats(),
            "held": self._faults.held(),
        }

    def truth(self, tenant: str, table: str) -> Iterator[Row]:
        """The rows a target table must hold now for a tenant; see `World.truth`."""
        return self.world.truth(tenant, table)

    def switch(self, tenant: str | None = None, **changes: object) -> Switches:
        """Change how the server behaves; see `Switches`."""
        return self._switches.set(tenant, changes)

    def expire_sessions(self, tenant: str | None = None) -> int:
        """Forget open sessions, as a restarted server does."""
        return self._access.expire(tenant)

    def reset(self) -> None:
        """Back to the start: no faults, an empty log, no sessions, the switches and the data of the start."""
        self._faults.clear()
        self._journal.reset()
        self._switches.reset()
        self._access.reset()
        self.world.reset()

    def truth_lines(self, query: bytes) -> Iterator[bytes]:
        """The truth that `GET truth` asks for, line by line. Raises ValueError for what there is no truth of."""
        asked = dict(parse_qsl(query.decode()))
        if not asked.get("tenant"):
            raise ValueError("truth needs a tenant and a table")
        entity_of(asked.get("table", ""))
        return map(line_of, self.truth(asked["tenant"], asked["table"]))

    async def answer(self, verb: str, action: str, query: bytes, body: bytes) -> Answer:
        """Serve one request under `/_admin`. What cannot be done is 400 with the reason."""
        try:
            sent = orjson.loads(body) if body else {}
            return _json(await self._act(f"{verb} {action}", dict(parse_qsl(query.decode())), sent))
        except TimeoutError:
            return _json({"error": "it did not happen in time"}, 408)
        except LookupError as error:
            return _json({"error": f"no such action: {error}"}, 404)
        except (TypeError, ValueError) as error:
            return _json({"error": str(error)}, 400)

    async def _act(self, call: str, query: Mapping[str, str], sent: object) -> object:
        tenant = query.get("tenant")
        options = sent if isinstance(sent, dict) else {}
        match call:
            case "POST faults":
                rules = sent if isinstance(sent, list) else [sent]
                # All are read before any is in force: half a list would be a fault of its own.
                return [self._faults.add(fault).described() for fault in [fault_of(rule) for rule in rules]]
            case "GET faults":
                return self._faults.described()
            case "DELETE faults":
                self.clear_faults()
                return []
            case "POST release":
                return {"released": self.release(options.get("tenant"))}
            case "GET held":
                seconds = float(query.get("wait", "0"))
                if seconds:
                    await self.wait_held(tenant, count=int(query.get("count", "1")), timeout=seconds)
                return {"held": self.held(tenant)}
            case "GET idle":
                await self.wait_idle(tenant, timeout=float(query.get("wait", "10")))
                return {}
            case "GET requests":
                limit = int(query["limit"]) if "limit" in query else None
                return self._journal.described(tenant, int(query.get("since", "0")), limit)
            case "GET stats":
                return self.stats()
            case "POST switches":
                changes = {name: value for name, value in options.items() if name != "tenant"}
                return asdict(self.switch(options.get("tenant"), **changes))
            case "GET switches" if "help" in query:
                return described()
            case "GET switches":
                return asdict(self._switches.of(tenant))
            case "POST expire-sessions":
                return {"expired": self.expire_sessions(options.get("tenant"))}
            case "POST change":
                return {"changed": self.world.change(**_deed(options, "count", "share", "scope"))}
            case "POST insert":
                return {"inserted": self.world.insert(**_deed(options, "count", "scope"))}
            case "POST delete":
                return {"deleted": self.world.delete(**_deed(options, "count", "share", "scope"))}
            case "POST delete-nested":
                deed = _deed(options, "count", "share", "scope", "table")
                return {"changed": self.world.delete_nested(**deed)}
            case "POST snapshot":
                self.world.snapshot(_text(options, "tenant"), str(options.get("name", "backup")))
                return {}
            case "POST restore":
                self.world.restore(_text(options, "tenant"), str(options.get("name", "backup")))
                return {}
            case "GET count":
                where = (query.get("tenant", ""), query.get("entity", ""))
                return {"listed": self.world.count(*where), "bad": self.world.bad_count(*where)}
            case "POST reset":
                self.reset()
                return {}
        raise LookupError(call)


def _deed(options: Mapping[str, object], *known: str) -> dict[str, Any]:
    """The arguments of a deed, from its JSON form. Raises ValueError."""
    unknown = set(options) - {"tenant", "entity", *known}
    if unknown:
        raise ValueError(
            f"unknown: {', '.join(sorted(unknown))}; it takes tenant, entity, {', '.join(known)}"
        )
    given = {name: options[name] for name in known if name in options}
    if any(isinstance(given.get(name), bool | float) for name in ("count", "scope")):
        raise ValueError("count and scope are whole numbers")
    return {"tenant_id": _text(options, "tenant"), "entity": _text(options, "entity"), **given}


def _text(options: Mapping[str, object], name: str) -> str:
    value = options.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(content))
