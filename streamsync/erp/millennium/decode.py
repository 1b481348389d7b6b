"""From bytes to records, and from an HTTP error to a class of ours.

Texts of the ERP are read to be classified and never quoted: they may name people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from streamsync.erp.millennium.lenient import parse, text_of
from streamsync.errors import Deferred, PermanentError, SyncError, TransientError

#: Names under which servers and customer modules wrap the rows.
_WRAPPERS: Final = ("value", "values", "data")

_UNKNOWN_PARAMETER = re.compile(r"parameter\s+([\w$.-]{1,60})\s+not found", re.IGNORECASE)

#: In UTF-8, in JSON's escapes, or without the accent.
_DENIED = re.compile(r"permiss\S{1,6}o negada", re.IGNORECASE)

#: How much of an error text is read.
_ERROR_TEXT_BYTES: Final = 4_000


def records_of(body: bytes) -> list[dict[str, Any]]:
    """The rows of an answer, their keys in lower case at every depth.

    Raises TransientError(`erp_garbage`) for anything that is not rows: HTML, cut JSON, a login page, an error
    with status 200. An answer that merely cannot be read is never taken for "no rows". PermanentError
    (`erp_not_json`) for XML.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")  # Windows likes to mark UTF-8
    if not body.strip():
        return []
    try:
        rows = _unwrap(parse(body))
        if not all(isinstance(row, dict) for row in rows):
            raise TransientError("erp_garbage", "the answer's rows are not records")
        return rows
    except RecursionError as error:
        raise TransientError(
            "erp_garbage", f"the answer is nested without end ({len(body)} bytes)"
        ) from error


def _unwrap(document: Any) -> list[Any]:
    if document is None:
        return []
    if isinstance(document, dict):
        if not document:
            return []
        if document.get("error"):
            raise TransientError("erp_garbage", "the answer is an error with status 200")
        name = next((name for name in _WRAPPERS if name in document), None)
        if name is None:
            raise TransientError("erp_garbage", "the answer holds no list of rows")
        document = document[name]
        if isinstance(document, str):  # a customer module answers with JSON inside a JSON string
            document = parse(document.encode("utf-8", "replace"))
        if document is None:
            return []
        if isinstance(document, dict) and document:  # a single record without its list
            return [document]
    if not isinstance(document, list):
        raise TransientError("erp_garbage", "the answer holds no list of rows")
    return document


def error_of(
    status: int,
    body: bytes,
    host: str,
    retry_after_seconds: float | None,
    parameters: Iterable[str] = (),
) -> SyncError:
    """What an answer other than 200 means. 401 has opposite meanings, told apart by its text alone."""
    text = text_of(body[:_ERROR_TEXT_BYTES]).casefold()

    def transient(error_class: str, what: str) -> TransientError:
        return TransientError(
            error_class, f"{host}: {what}", http_status=status, retry_after_seconds=retry_after_seconds
        )

    def deferred(error_class: str, what: str) -> Deferred:
        return Deferred(
            error_class, f"{host}: {what}", http_status=status, retry_after_seconds=retry_after_seconds
        )

    def permanent(error_class: str, what: str) -> PermanentError:
        return PermanentError(error_class, f"{host}: {what}", http_status=status)

    if status == 401:
        if "senha inv" in text or _DENIED.search(text):
            return permanent(
                "erp_wrong_password", "user or password refused; put it right before the next try"
            )
        if "ultrapassado o m" in text:
            return deferred("erp_too_many_sessions", "too many sessions of this user")
        return transient("erp_unauthorized", "401 without a known reason")
    if "licen" in text and status in (429, 500, 503):
        return deferred("erp_no_licence", "no free licence")
    if status == 400 and (match := _UNKNOWN_PARAMETER.search(text)):
        # Only a name that we sent is quoted: anything else is the ERP's text.
        named = next((name for name in parameters if name.casefold() == match[1].casefold()), "it names")
        return permanent("erp_unknown_parameter", f"this server does not know the parameter {named}")
    if status == 429:
        return transient("erp_throttled", "too many requests")
    if status == 404:
        return permanent("erp_not_found", "no such method at this URL; is the base URL right?")
    if status == 403:
        return permanent("erp_forbidden", "access denied")
    if 300 <= status < 400:
        return permanent("erp_redirect", "redirects are not followed; give the final URL as base URL")
    if status == 400:
        return transient("erp_bad_request", "400; the server reports some of its own failures so")
    return transient("erp_server_error", f"HTTP {status}")
