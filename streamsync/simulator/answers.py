"""What the ERP says: rows in one envelope or another, errors in its words, XML, and HTML of whoever is before it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from typing import Final
from xml.sax.saxutils import escape

import orjson

from streamsync.simulator.switches import Switches

_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
_XML: Final = (b"content-type", b"application/atom+xml; charset=utf-8")
_HTML: Final = (b"content-type", b"text/html")
#: How no rows are said, by the switch `empty`.
_EMPTY: Final = {"object": b"{}", "nothing": b"", "null": b"null"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. `rows` is how many records it carries; `message` is an error's text."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)
    rows: int = 0
    message: str = ""


class RefusedError(Exception):
    """The ERP says no; the answer is the exception."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.answer = error(status, message, *headers)


def error(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error as the ERP words it."""
    content = {"error": {"code": status, "message": {"lang": "pt-BR", "value": message}}}
    return Answer(status, orjson.dumps(content), (_JSON, *headers), message=message)


def reshaped_error(answer: Answer, form: str) -> Answer:
    """An error in the words of another version, or of whatever stands before the server."""
    others = tuple(header for header in answer.headers if header[0] != b"content-type")
    match form:
        case "string":
            content = {"error": {"code": answer.status, "message": answer.message}}
            return replace(answer, body=orjson.dumps(content))
        case "plain":
            plain = (b"content-type", b"text/plain; charset=utf-8")
            return replace(answer, body=answer.message.encode(), headers=(plain, *others))
        case "html":
            return replace(answer, body=html().body, headers=(_HTML, *others))
        case "empty":
            return replace(answer, body=b"", headers=others)
    return answer


def envelope(pieces: list[bytes], rows: int, count: int, switches: Switches) -> Answer:
    """Rows that are JSON already, in the ERP's envelope or in one of those that other modules use.

    `pieces` are rows, or several with commas between them; `count` is what `odata.count` says.
    """
    if not rows and switches.empty != "list":
        return Answer(200, _EMPTY[switches.empty])
    alone = rows == 1 and switches.single == "all"
    listed = pieces[0] if alone else b"[%b]" % b",".join(pieces)
    match switches.envelope:
        case "array":
            body = listed
        case "string":
            body = b'{"odata.count":%d,"value":%b}' % (count, orjson.dumps(listed.decode()))
        case name:
            body = b'{"odata.count":%d,"%b":%b}' % (count, name.encode(), listed)
    return Answer(
        200,
        body.decode().encode("cp1252", "streamsync.json_escape") if switches.latin1 else body,
        rows=rows,
    )


def _json_escape(problem: UnicodeError) -> tuple[str, int]:
    # What the code page lacks (accents typed apart) stays as JSON's escape.
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    lacking = problem.object[problem.start : problem.end]
    return "".join(f"\\u{ord(character):04x}" for character in lacking), problem.end


codecs.register_error("streamsync.json_escape", _json_escape)


def atom(rows: list[bytes]) -> Answer:
    """The same rows as Atom XML, for a client that does not ask for JSON. Nested lists are left out."""
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" '
        'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
    ]
    for row in rows:
        parts.append('<entry><content type="application/xml"><m:properties>')
        for name, value in orjson.loads(row).items():
            if value is None:
                parts.append(f'<d:{name} m:null="true"/>')
            elif not isinstance(value, list):
                parts.append(f"<d:{name}>{escape(_printable(value))}</d:{name}>")
        parts.append("</m:properties></content></entry>")
    parts.append("</feed>")
    return Answer(200, "".join(parts).encode(), (_XML,), rows=len(rows))


def html(status: int = 200) -> Answer:
    """What a proxy or a half-dead server says instead of data."""
    page = (
        b"<html><head><title>Servi\xe7o indispon\xedvel</title></head><body><h1>wtsBroker</h1></body></html>"
    )
    return Answer(status, page, (_HTML,))


def _printable(value: object) -> str:
    # XML 1.0 has no way to write most control characters.
    return "".join(character for character in str(value) if character >= " " or character in "\t\r\n")
