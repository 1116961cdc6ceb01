"""The API described as OpenAPI 3.1, for people and for programs that make clients; a test holds it against the routes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from analyzer import __version__

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_TIME: dict[str, Any] = {"type": ["string", "null"], "description": "RFC 3339, UTC."}
_TUS: dict[str, Any] = {
    "name": "Tus-Resumable", "in": "header", "required": True, "schema": {"const": "1.0.0"},
}  # fmt: skip


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _asked(name: str, what: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": what, "schema": schema or _TEXT}


def _header(name: str, what: str, schema: dict[str, Any] | None = None, *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": what, "required": required, "schema": schema or _TEXT}


def _answers(good: dict[str, dict[str, Any]], *bad: int) -> dict[str, Any]:
    return {**good, **{str(status): {"$ref": f"#/components/responses/{status}"} for status in (*bad, 401)}}


def _json(what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _octets(what: str, kind: str) -> dict[str, Any]:
    return {"description": what, "content": {kind: {}}}


_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_PAGE = [
    _asked("limit", "Rows, 200 at most.", _NUMBER | {"default": 50, "maximum": 200}),
    _asked("offset", "Rows before them.", _NUMBER | {"default": 0}),
]
_LISTED = [
    _asked("q", "Words, each of which is part of name, account, server, cause, title or SHA-256."),
    _asked("cause", "Such as per_user_connection_limit."),
    _asked("verdict", "confirmed, likely or suspected."),
    *_PAGE,
]
_TAKEN = {
    "201": _json("What is new is in line.", _ref("Captures")),
    "200": _json("You had handed in all of it before.", _ref("Captures")),
}
_WRITES = (400, 403, 408, 413, 415, 429, 507)

PATHS: dict[str, dict[str, Any]] = {
    "/api/captures": {
        "get": {
            "summary": "List captures, worst and then newest first",
            "parameters": [
                _asked("state", "queued, running, waiting for both of them, or a state of the report contract."),
                _asked("incident", "Id of an incident: its members."),
                *_LISTED,
            ],
            "responses": _answers({"200": _json("One page of them.", _ref("Captures"))}),
        },
        "post": {
            "summary": "Hand in captures",
            "description": "The body is the capture, or a form with one or more files. A capture handed in before keeps its id.",
            "parameters": [_asked("name", "What the capture is called, where the body is the capture itself.")],
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {},
                    "multipart/form-data": {
                        "schema": _object(
                            {"capture": {"type": "array", "items": {"type": "string", "format": "binary"}}}
                        )
                    },
                },
            },
            "responses": _answers(_TAKEN, *_WRITES),
        },
    },
    "/api/captures/{id}": {
        "get": {
            "summary": "One capture, with its findings",
            "parameters": [_ID],
            "responses": _answers({"200": _json("The capture.", _ref("Entry"))}, 404),
        },
        "delete": {
            "summary": "Delete a capture and all that came of it",
            "parameters": [_ID],
            "responses": _answers({"204": {"description": "It is gone."}}, 403, 404),
        },
    },
    "/api/captures/{id}/result": {
        "get": {
            "summary": "The whole result of one capture",
            "description": "As 'mailscope report --format json' prints it; of very long lists the first rows, and in left_out how "
            "many more there were.",
            "parameters": [_ID],
            "responses": _answers({"200": _json("The result.", _ref("Result"))}, 404, 409),
        }
    },
    "/api/captures/{id}/report": {
        "get": {
            "summary": "The report of one capture, as one page to keep or send",
            "parameters": [_ID],
            "responses": _answers({"200": _octets("The page.", "text/html")}, 404, 409),
        }
    },
    "/api/captures/{id}/evidence": {
        "get": {
            "summary": "The frames that prove the findings, secrets masked",
            "parameters": [_ID],
            "responses": _answers({"200": _octets("A pcapng file.", "application/x-pcapng")}, 404, 409),
        }
    },
    "/api/incidents": {
        "get": {
            "summary": "List incidents: the same cause, server, accounts and time across captures",
            "parameters": _LISTED,
            "responses": _answers({"200": _json("One page of them.", _ref("Incidents"))}),
        }
    },
    "/api/status": {
        "get": {
            "summary": "How much is in line, how much is kept, and how much may be",
            "responses": _answers({"200": _json("You, and the service.", _ref("Status"))}),
        }
    },
    "/api/openapi.json": {
        "get": {
            "summary": "This description",
            "responses": _answers({"200": _octets("OpenAPI 3.1.", "application/openapi+json")}),
        }
    },
    "/api/uploads": {
        "options": {
            "summary": "What of tus 1.0.0 is spoken",
            "responses": _answers({"204": {"description": "See Tus-Extension and Tus-Max-Size."}}),
        },
        "post": {
            "summary": "Begin an upload that can be taken up again (tus)",
            "parameters": [
                _TUS,
                _header("Upload-Length", "Octets it will have.", _NUMBER),
                _header("Upload-Metadata", "'filename', a space, and the name in base64.", required=False),
            ],
            "responses": _answers({"201": {"description": "Location names it."}}, *_WRITES, 412),
        },
    },
    "/api/uploads/{id}": {
        "head": {
            "summary": "How much of an upload is here",
            "parameters": [_ID, _TUS],
            "responses": _answers({"200": {"description": "See Upload-Offset."}}, 404, 412),
        },
        "patch": {
            "summary": "The next octets of an upload; the last make it a capture, named by Mailscope-Capture",
            "parameters": [
                _ID,
                _TUS,
                _header("Upload-Offset", "Where they belong.", _NUMBER),
                _header("Upload-Checksum", "sha256 or sha1, a space, and the hash in base64.", required=False),
            ],
            "requestBody": {"required": True, "content": {"application/offset+octet-stream": {}}},
            "responses": _answers({"204": {"description": "See Upload-Offset."}}, *_WRITES, 404, 409, 412, 423, 460),
        },
        "delete": {
            "summary": "End an upload; nothing of it stays",
            "parameters": [_ID, _TUS],
            "responses": _answers({"204": {"description": "It is gone."}}, 403, 404, 412),
        },
    },
}
"""Every path of the API, what may be asked of it, and every status it answers with."""

REFUSALS = {
    400: "The request makes no sense.",
    401: "Say who you are.",
    403: "Not from the service's own page.",
    404: "Not there, or not yours.",
    408: "Nothing came for too long.",
    409: "Not yet, or not there: see the sentence.",
    412: "Not a version of tus spoken here.",
    413: "Too large.",
    415: "Not a capture.",
    423: "Another request is at it.",
    429: "Too many at once.",
    460: "The octets arrived changed.",
    507: "No room left: your quota, or the disk.",
}
_HEAD = {"schema_version": {"const": 1}, "tool": _object({"name": _TEXT, "version": _TEXT})}
_ENTRY = {
    "id": _TEXT,
    "path": _TEXT,
    "name": _TEXT,
    "sha256": _MAYBE,
    "size_bytes": {"type": ["integer", "null"]},
    "state": _TEXT,
    "reason": _MAYBE,
    "submitted": _TIME,
    "finished": _TIME,
    "conclusion": _object({"cause": _MAYBE, "verdict": _MAYBE, "title": _MAYBE}),
    "confidence": {"type": ["number", "null"]},
    "server": _MAYBE,
    "accounts": {"type": "array", "items": _TEXT},
    "start": _TIME,
    "end": _TIME,
}
_INCIDENT = {
    "id": _TEXT,
    "cause": _TEXT,
    "verdict": _TEXT,
    "confidence": {"type": "number"},
    "title": _TEXT,
    "server": _MAYBE,
    "accounts": {"type": "array", "items": _TEXT},
    "captures": _NUMBER,
    "clients": _NUMBER,
    "joined": {"type": ["object", "null"]},
    "start": _TIME,
    "end": _TIME,
}


def _schemas() -> dict[str, Any]:
    from analyzer.report.model import schema

    result = json.loads(json.dumps(schema()).replace("#/$defs/", "#/components/schemas/"))
    return {
        **result.pop("$defs"),
        "Captures": _object(_HEAD | {"captures": {"type": "array", "items": _ref("Entry")}}, total=_NUMBER),
        "Entry": _object(_ENTRY, findings={"type": "array", "items": {"type": "object"}}),
        "Incidents": _object(_HEAD | {"incidents": {"type": "array", "items": _ref("Incident")}, "total": _NUMBER}),
        "Incident": _object(_INCIDENT),
        "Status": _object(
            _HEAD
            | {
                "owner": _TEXT,
                "states": {"type": "object", "additionalProperties": _NUMBER},
                "waiting": _NUMBER,
                "captures": _NUMBER,
                "size_bytes": _NUMBER,
                "limits": {"type": "object"},
            }
        ),
        "Error": _object({"error": _TEXT}),
        "Result": result,
    }


def document() -> dict[str, Any]:
    """Return the description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mailscope",
            "version": __version__,
            "summary": "Takes packet captures of mail logins and says why logins were refused.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": [], "form": []}, {}],
        "paths": PATHS,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-mailscope"},
                "form": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
            "responses": {str(status): _json(what, _ref("Error")) for status, what in REFUSALS.items()},
            "schemas": _schemas(),
        },
    }


@cache
def text() -> str:
    """Return the description as JSON."""
    return json.dumps(document(), indent=1)
