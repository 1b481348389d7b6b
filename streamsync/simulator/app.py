"""The simulated ERP as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from itertools import islice
from typing import Any, Final

import orjson

from streamsync.simulator import access, answers, connections, protocol
from streamsync.simulator.access import Access, Headers
from streamsync.simulator.admin import Admin
from streamsync.simulator.answers import Answer, RefusedError
from streamsync.simulator.data import Population
from streamsync.simulator.faults import Fault, FaultBoard
from streamsync.simulator.journal import Entry, Journal
from streamsync.simulator.pages import Pages, style_of, unknown_parameters
from streamsync.simulator.protocol import Query, Target
from streamsync.simulator.switches import SwitchBoard, Switches
from streamsync.simulator.world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


#: Lines of the truth per piece.
_LINES_AT_ONCE: Final = 500


class _Gone(Exception):
    """There is nobody to answer any more."""


class SimulatorApp:
    """Answers the API from a population and what became of it. What it keeps is bounded: caches, the log, and
    what was changed.
    """

    def __init__(
        self,
        population: Population,
        *,
        faults: tuple[Fault, ...] = (),
        switches: Switches | None = None,
        tenants: Mapping[str, Mapping[str, object]] | None = None,
        log_size: int = 200_000,
        cache_bytes: int = 64 << 20,
    ) -> None:
        self.population = population
        self.faults = FaultBoard(population.seed, faults)
        self.journal = Journal(log_size)
        self.switches = SwitchBoard(switches or Switches(), tenants)
        self.access = Access(population, self.switches)
        self.world = World(population, self.switches)
        self.pages = Pages(self.world, cache_bytes)
        self.admin = Admin(self.faults, self.journal, self.switches, self.access, self.world)

    def close(self) -> None:
        """Let everything that waits go on, so that a server can stop."""
        self.faults.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            raise RuntimeError(f"the simulator serves http only, not {scope['type']}")
        body = await _body(receive)
        path: str = scope["path"]
        if path.startswith("/_admin/"):
            action = path.removeprefix("/_admin/").strip("/")
            if action == "truth" and scope["method"] == "GET":
                await self._tell_truth(scope, send)
                return
            await _send(send, await self.admin.answer(scope["method"], action, scope["query_string"], body))
            return
        headers = dict(scope["headers"])
        target = protocol.target_of(path)
        tenant_id = None if target is None else self.access.tenant_of(target.tenant_id, headers)
        if target is None:
            await _send(send, answers.error(404, "Object not found"))
        elif tenant_id is None:
            await _send(send, answers.error(401, access.WRONG_PASSWORD))
        else:
            await self._serve(scope, receive, send, target, tenant_id, headers, body)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        target: Target,
        tenant_id: str,
        headers: Headers,
        body: bytes,
    ) -> None:
        entry = self.journal.begin(tenant_id, self.population.user_of(tenant_id), target.method)
        is_page = target.method in protocol.PAGED
        client = _Client(receive, self.faults.closed)
        try:
            waits, fault = self.faults.decide(tenant_id, target.method, is_page=is_page)
            if fault is not None:
                entry.fault = fault.kind
            for wait in waits:
                entry.fault = entry.fault or wait.kind
                await self._wait(client, wait, tenant_id)
            answer = _spoiled_outright(fault)
            if answer is None:
                answer = self._answer(scope, target, tenant_id, headers, body, entry)
                switches = self.switches.of(tenant_id)
                delay = switches.delay + switches.delay_per_row * answer.rows
                if delay:
                    await client.wait(asyncio.Event(), delay)
                answer = await self._spoil(answer, fault, scope, client, send)
            if answer.status >= 400:
                answer = answers.reshaped_error(answer, self.switches.of(tenant_id).error_body)
            await _send(send, answer)
            entry.status, entry.rows, entry.bytes = answer.status, answer.rows, len(answer.body)
        except _Gone:
            # The log says so: no status. A server that stops still owes those it kept waiting some answer.
            if self.faults.closed.is_set() and entry.fault not in ("cut", "reset"):
                await _send(send, answers.html(503))
        finally:
            self.journal.end(entry)

    async def _tell_truth(self, scope: Scope, send: Send) -> None:
        """The truth as JSON lines, in pieces: it may be longer than memory is large."""
        try:
            lines = self.admin.truth_lines(scope["query_string"])
        except ValueError as error:
            await _send(send, Answer(400, orjson.dumps({"error": str(error)})))
            return
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while piece := b"".join(islice(lines, _LINES_AT_ONCE)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # others are served in between
        await send({"type": "http.response.body", "body": b""})

    async def _wait(self, client: _Client, fault: Fault, tenant_id: str) -> None:
        if fault.kind == "slow":
            await client.wait(asyncio.Event(), fault.seconds)
            return
        with self.faults.holding(tenant_id) as released:
            await client.wait(released, None)

    def _answer(
        self, scope: Scope, target: Target, tenant_id: str, headers: Headers, body: bytes, entry: Entry
    ) -> Answer:
        try:
            if target.method == "login":
                return self.access.login(target.tenant_id, headers)
            if target.method == "logout":
                return self.access.logout(headers)
            self.access.check(tenant_id, headers)
            query = _query(scope, headers, body)
            switches = self.switches.of(tenant_id)
            protocol.check_parameters(target, query, unknown_parameters(target, switches))
            entry.trans_id, entry.top = query.number("trans_id"), query.top
            entry.vitrine, entry.filial = query.number("vitrine"), query.number("filial")
            listed = protocol.LISTS.get(target.method)
            entry.since = query.moment_ms(listed.since) if listed is not None and listed.since else None
            return self._read(target, tenant_id, query, headers)
        except RefusedError as refused:
            return refused.answer

    def _read(self, target: Target, tenant_id: str, query: Query, headers: Headers) -> Answer:
        switches = self.switches.of(tenant_id)
        chosen = query.options.get("$format", "").lower()
        as_json = chosen == "json" or (not chosen and b"application/json" in headers.get(b"accept", b""))
        as_json = switches.xml == "never" or (as_json and switches.xml != "always")
        style = style_of(
            query,
            switches,
            iso_header=b"x-dateformat" in headers,
            upper_header=headers.get(b"x-identifiercase", b"").lower() == b"upper",
            as_json=as_json,
        )
        return self.pages.answer(tenant_id, target.method, query, switches, style, as_json=as_json)

    async def _spoil(
        self, answer: Answer, fault: Fault | None, scope: Scope, client: _Client, send: Send
    ) -> Answer:
        """The faults that need the connection, or the answer they spoil."""
        kind = None if fault is None else fault.kind
        if fault is not None and kind == "garbage":
            kind = "html" if fault.hits % 2 else "truncated"
        if kind == "html":
            return answers.html()
        if kind == "truncated":
            return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
        if kind == "timeout":
            await client.wait(asyncio.Event(), None)
        elif kind == "reset":
            connections.reset(scope)
            await client.wait(asyncio.Event(), None)
        elif kind == "cut":
            await send(_start(answer))
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            connections.close(scope)
            await client.wait(asyncio.Event(), None)
        return answer


class _Client:
    """The other end of a request: what waits here also notices that it left."""

    def __init__(self, receive: Receive, closed: asyncio.Event) -> None:
        self._receive = receive
        self._closed = closed

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        """Wait for the event or so long. Raises _Gone if the client leaves or the server closes first."""
        tasks = [asyncio.ensure_future(step) for step in (event.wait(), self._left(), self._closed.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not event.is_set() and (tasks[1].done() or tasks[2].done()):
                raise _Gone
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _left(self) -> bool:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return True


def _spoiled_outright(fault: Fault | None) -> Answer | None:
    """The answer to a request whose fault needs no look at the data."""
    kind = "" if fault is None else fault.kind
    after = None if fault is None else fault.retry_after
    if kind == "429" and after is None:
        after = 1
    retry = () if after is None else ((b"retry-after", b"%g" % after),)
    match kind:
        case "500":
            return answers.error(500, "Error in macro #SELECT\r\rSQLC LAYER: deadlock", *retry)
        case "503":
            return answers.error(503, "Serviço temporariamente indisponível", *retry)
        case "licence":
            status = 503 if fault is None or fault.status is None else fault.status
            return answers.error(status, "Não há licença disponível para esta aplicação", *retry)
        case "429":
            return answers.error(429, "Limite de requisições atingido", *retry)
        case "password":
            return answers.error(401, access.WRONG_PASSWORD)
        case "busy":
            return answers.error(401, access.TOO_MANY_SESSIONS)
    return None


def _query(scope: Scope, headers: Headers, body: bytes) -> Query:
    sent: object = None
    if scope["method"] == "POST" and headers.get(b"x-http-method", b"").upper() == b"GET":
        try:
            sent = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise RefusedError(400, "Invalid JSON in the request") from error
    elif scope["method"] != "GET":
        raise RefusedError(405, "Method not allowed")
    return protocol.query_of(scope["query_string"], sent if isinstance(sent, dict) else None)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _start(answer: Answer) -> MutableMapping[str, Any]:
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(send: Send, answer: Answer) -> None:
    await send(_start(answer))
    await send({"type": "http.response.body", "body": answer.body})
