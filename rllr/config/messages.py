"""Validation with messages that name the key, its value and what is allowed."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import ValidationError

from rllr.config.schema import Strict
from rllr.errors import RllrError

S = TypeVar("S", bound=Strict)


def validate(schema: type[S], data: Any, where: str) -> S:
    """Validate `data`; RllrError lists each offending key, its value and what is allowed."""
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        lines = [_explain(schema, item) for item in error.errors()]
    # Outside of the handler: pydantic's own message quotes every value, a pasted key too.
    raise RllrError(f"{where}: " + "; ".join(lines))


def _explain(schema: type[Strict], item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    key = ".".join(_named(schema, path)) or "file"
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(path[-1], _siblings(schema, path[:-1]))}"
    if item["type"] == "missing":
        return f"{key}: missing"
    if item["type"] == "union_tag_not_found":
        return f"{key}: key {item['ctx']['discriminator']} is missing"
    message = item["msg"].removeprefix("Value error, ")
    shown = "" if item["type"] == "value_error" else f" (found {item['input']!r})"
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _named(schema: type[Strict], path: list[str]) -> list[str]:
    """The keys of a path as a user writes them: without which class of several was meant."""
    definitions = schema.model_json_schema()
    node: dict[str, Any] = definitions
    found = []
    for part in path:
        if part not in node.get("discriminator", {}).get("mapping", {}):
            found.append(part)
        node = _child(node, part, definitions)
    return found


def _siblings(schema: type[Strict], path: list[str]) -> list[str]:
    """Keys allowed at `path`, following nested classes as far as the names lead."""
    definitions = schema.model_json_schema()
    node: dict[str, Any] = definitions
    for part in path:
        node = _child(node, part, definitions)
    return sorted(node.get("properties", {}))


def _child(node: dict[str, Any], part: str, root: dict[str, Any]) -> dict[str, Any]:
    found = (
        node.get("properties", {}).get(part)
        or node.get("items")
        or next(iter(node.get("patternProperties", {}).values()), None)
        or node.get("additionalProperties")
    )
    if not isinstance(found, dict):
        mapping = node.get("discriminator", {}).get("mapping", {})
        found = {"$ref": mapping[part]} if part in mapping else node
    # An optional class is that or nothing.
    found = next((one for one in found.get("anyOf", []) if "$ref" in one), found)
    if "$ref" in found:
        found = root["$defs"][found["$ref"].rsplit("/", 1)[-1]]
    return found


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean …?` and what is allowed."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (allowed: {', '.join(known) or 'none'})"
