"""Hold requests and answers against the broker's OpenAPI document.

    document = Document.load()
    document.check_request("DELETE", "/v1/accounts/19816/orders", {"side": "SELL"})   # [] or what is wrong
    document.check_answer("GET", "/v1/version", 200, body)

Two things are taken from elsewhere, because the document is wrong or old there: an error has the shape of the
document's examples (inside an envelope, where its schema has none), and the statuses QUEUED and PENDING_TRIGGER are
those of the newest SDK.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from jsonschema import FormatChecker
from jsonschema.protocols import Validator
from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FILE = Path(__file__).parent / "clear-street-openapi.yaml"
NAME = "urn:clear-street"
NEWER_STATUSES = ["QUEUED", "PENDING_TRIGGER"]
METHODS = ("get", "post", "patch", "put", "delete")
ERROR = {
    "type": "object",
    "required": ["error", "metadata"],
    "properties": {
        "error": {"$ref": f"{NAME}#/components/schemas/ApiError"},
        "metadata": {"$ref": f"{NAME}#/components/schemas/ResponseMetadata"},
        "data": {"type": "null"},
    },
}
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
INTEGER = re.compile(r"-?\d+")

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    if not DATE_TIME.fullmatch(value):
        return False
    dt.datetime.fromisoformat(re.sub(r"\.\d+", "", value))
    return True


@formats.checks("date", raises=ValueError)
def is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(dt.date.fromisoformat(value))


@formats.checks("uuid", raises=ValueError)
def is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(uuid.UUID(value)) == value.lower()


@formats.checks("byte", raises=binascii.Error)
def is_base64url(value: object) -> bool:
    return not isinstance(value, str) or bool(base64.b64decode(value, altchars=b"-_", validate=True))


@formats.checks("int32")
def is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@formats.checks("int64")
def is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


class Document:
    """The document, ready to be asked."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        resource = Resource(contents=content, specification=DRAFT202012)
        self.registry: Registry[Any] = Registry().with_resource(NAME, resource)
        self.paths = [(self.pattern(path), path) for path in content["paths"]]
        self.validators: dict[str, Validator] = {}

    @classmethod
    def load(cls) -> Document:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(FILE.read_text(encoding="utf-8"), Loader=loader)
        content["components"]["schemas"]["OrderStatus"]["enum"] += NEWER_STATUSES
        for parameter in content["paths"]["/v1/accounts/{account_id}/orders"]["get"]["parameters"]:
            if parameter["name"] == "status":
                parameter["schema"]["items"]["enum"] += NEWER_STATUSES
        return cls(content)

    @staticmethod
    def pattern(path: str) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))

    def operations(self) -> set[tuple[str, str]]:
        """Return every documented method and path."""
        return {(m.upper(), path) for path, item in self.content["paths"].items() for m in METHODS if m in item}

    def check_request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes | str | None = None
    ) -> list[str]:
        """Return what is wrong with a request; `path` is as it was sent, still quoted."""
        template, names = self.find(path)
        if template is None:
            return [f"{path}: no such path"]
        operation = self.content["paths"][template].get(method.lower())
        if operation is None:
            return [f"{method} is not documented for {template}"]
        wrong = self.check_parameters(operation, "path", names)
        wrong += self.check_parameters(operation, "query", query or {})
        return wrong + self.check_body(operation, f"{method.lower()} {template}", body)

    def check_answer(self, method: str, path: str, status: int, body: bytes | str | Mapping[str, Any]) -> list[str]:
        """Return what is wrong with an answer."""
        template, _ = self.find(path)
        try:
            value = json.loads(body) if isinstance(body, bytes | str) else body
        except ValueError as error:
            return [f"not JSON: {error}"]
        # 401, 404 of an unknown account, 405 and 429 are answered but listed nowhere: only their shape can be held.
        if status >= 400:
            return self.violations("error", ERROR, value)
        operation = self.content["paths"].get(template, {}).get(method.lower(), {})
        if str(status) not in operation.get("responses", {}):
            return [f"{method} {path}: an answer with status {status} is not documented"]
        schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        return self.violations(f"{method} {template} {status}", schema, value)

    def find(self, path: str) -> tuple[str | None, dict[str, str]]:
        for pattern, template in self.paths:
            if found := pattern.fullmatch(path):
                return template, {name: unquote(value) for name, value in found.groupdict().items()}
        return None, {}

    def check_parameters(self, operation: dict[str, Any], place: str, given: Mapping[str, str]) -> list[str]:
        known = {each["name"]: each for each in operation.get("parameters", []) if each["in"] == place}
        wrong = [f"{place} parameter {name} is not documented" for name in given if name not in known]
        missing = [name for name, each in known.items() if each.get("required") and name not in given]
        wrong += [f"{place} parameter {name} is missing" for name in missing]
        for name in known.keys() & given.keys():
            key = f"{operation['operationId']} {name}"
            value = read_parameter(self.resolved(known[name]["schema"]), given[name])
            wrong += [
                f"{place} parameter {name}: {each}" for each in self.violations(key, known[name]["schema"], value)
            ]
        return wrong

    def check_body(self, operation: dict[str, Any], key: str, body: bytes | str | None) -> list[str]:
        documented = operation.get("requestBody")
        if documented is None:
            return [] if not body else ["a body is not documented"]
        if body is None:
            return ["the body is missing"]
        try:
            value = json.loads(body)
        except ValueError as error:
            return [f"the body is not JSON: {error}"]
        return self.violations(f"body {key}", documented["content"]["application/json"]["schema"], value)

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in schema:
            return schema
        found: dict[str, Any] = self.registry.resolver(NAME).lookup(schema["$ref"]).contents
        return found

    def violations(self, key: str, schema: dict[str, Any], value: object) -> list[str]:
        if key not in self.validators:
            absolute = json.loads(json.dumps(schema).replace('"#/', f'"{NAME}#/'))
            self.validators[key] = OAS31Validator(absolute, registry=self.registry, format_checker=formats)
        return [f"{error.json_path}: {error.message}" for error in self.validators[key].iter_errors(value)]


def read_parameter(schema: dict[str, Any], text: str) -> Any:
    """Turn a parameter's text into the value that its schema speaks of."""
    if schema.get("type") == "array":
        return text.split(",")
    if schema.get("type") == "integer":
        return int(text) if INTEGER.fullmatch(text) else text
    return text
