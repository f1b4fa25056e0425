"""Tool calls and tool schemas in the OpenAI form, however a data set writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from configs.tables.cells import kind_of, unpacked
from trainer.data.template import Tools
from trainer.data.values import BadLayout, Note, text_of

_ARGUMENTS = ("arguments", "parameters", "args", "input")
# What a schema may rightly give as null.
_NULLABLE = {"default", "const", "example"}


def calls_of(value: Any) -> list[dict[str, Any]]:
    """The calls that a message makes: a list, one object, or the text of either, in `<tool_call>` tags or not.

    Raises:
        BadLayout: `bad_tool_call`.
    """
    if isinstance(value, str) and (tagged := list(_tagged(value))):
        return [_call(unpacked(text)) for text in tagged]
    calls = unpacked(value)
    calls = calls if isinstance(calls, list) else [calls]
    if not calls:
        raise BadLayout("bad_tool_call", "an empty list")
    return [_call(unpacked(call)) for call in calls]


def calls_behind(text: str) -> tuple[str, list[Any]]:
    """(words, calls) of an answer that ends in calls in `<tool_call>` tags, as Hermes writes them; else no calls."""
    words, *parts = text.split("<tool_call>")
    tagged = [part.partition("</tool_call>") for part in parts]
    calls = [unpacked(call.strip()) for call, _, _ in tagged]
    ends = all(end and not behind.strip() for _, end, behind in tagged)
    return (words.rstrip(), calls) if ends and are_calls(calls) else (text, [])


def are_calls(value: Any) -> bool:
    """Whether a cell is a list of calls, or the text of one: objects with a name and arguments."""
    calls = unpacked(value)
    return (
        isinstance(calls, list)
        and bool(calls)
        and all(isinstance(c, dict) and isinstance(c.get("name"), str) and "arguments" in c for c in calls)
    )


def tools_of(value: Any, note: Note) -> Tools:
    """The tool schemas of a row: a list, one schema, or the text of either, each as a server hands it to the template.

    Null members are what Arrow pads schemas with; no schema has them but as a default.

    Raises:
        BadLayout: `bad_tools`.
    """
    tools = unpacked(value)
    if not tools or (isinstance(tools, str) and tools.isspace()):
        return None
    if isinstance(tools, dict):
        tools = [tools]
    if not isinstance(tools, list):
        raise BadLayout("bad_tools", kind_of(tools))
    schemas = []
    for tool in map(unpacked, tools):
        if not isinstance(tool, dict):
            raise BadLayout("bad_tools", kind_of(tool))
        schema = _without_nulls(tool if "function" in tool else {"type": "function", "function": tool})
        function = schema.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadLayout("bad_tools", f"a schema without a name: {json.dumps(tool, ensure_ascii=False)[:60]}")
        schemas.append(_as_served(schema, note))
    return schemas


def _as_served(schema: dict[str, Any], note: Note) -> dict[str, Any]:
    """A schema in the form and order in which vLLM hands every client's to the template, whatever the row has.

    Raises:
        BadLayout: `bad_tools`, for parameters that are no schema.
    """
    given = schema["function"]
    parameters, text = unpacked(given.get("parameters")), given.get("description")
    if not isinstance(parameters, dict | None):
        raise BadLayout("bad_tools", f"parameters of {given['name']}: {kind_of(parameters)}")
    served = {
        "name": given["name"],
        "description": None if text is None else text_of(text, f"description of {given['name']}", note),
        "parameters": parameters,
        **({"strict": given["strict"]} if isinstance(given.get("strict"), bool) else {}),
    }
    if left := [*(schema.keys() - {"type", "function"}), *(given.keys() - served.keys())]:
        note("tools_as_served", f"{', '.join(sorted(map(str, left)))} of {given['name']}")
    return {"type": "function", "function": served}


def without_padding(calls: list[dict[str, Any]], tools: Tools) -> None:
    """Takes null arguments off that the called function's schema does not have: padding of another function's."""
    known = {t["function"]["name"]: t["function"].get("parameters") for t in tools or ()}
    for call in calls:
        function = call["function"]
        schema = known.get(function["name"])
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if isinstance(properties, dict) and None in function["arguments"].values():
            function["arguments"] = {k: v for k, v in function["arguments"].items() if v is not None or k in properties}


def tool_text(text: str) -> str:
    """A tool's answer without the `<tool_response>` tags that the chat template writes itself."""
    whole = text.strip()
    if not (whole.startswith("<tool_response>") and whole.endswith("</tool_response>")):
        return text
    said = whole.removeprefix("<tool_response>").removesuffix("</tool_response>").strip()
    return text if "<tool_response>" in said else said


def _tagged(text: str) -> Iterator[str]:
    """What stands between `<tool_call>` and the next `</tool_call>`; in one pass, however many are never closed."""
    end = 0
    while (start := text.find("<tool_call>", end)) >= 0 and (end := text.find("</tool_call>", start)) >= 0:
        yield text[start + len("<tool_call>") : end].strip()


def _call(call: Any) -> dict[str, Any]:
    """One call in the OpenAI form, its arguments a mapping."""
    function = unpacked(call.get("function", call)) if isinstance(call, dict) else call
    if isinstance(function, str) and isinstance(call, dict):
        function = {**call, "name": function}
    if not isinstance(function, dict):
        raise BadLayout("bad_tool_call", kind_of(function))
    if not isinstance(function.get("name"), str):
        raise BadLayout("bad_tool_call", f"no name: {json.dumps(function, ensure_ascii=False, default=str)[:60]}")
    given: Any = next((function[key] for key in _ARGUMENTS if function.get(key) is not None), {})
    arguments = unpacked(given)
    if isinstance(arguments, str) and not arguments.strip():
        arguments = {}
    if not isinstance(arguments, dict):
        raise BadLayout("bad_tool_call", f"arguments of {function['name']}: {kind_of(arguments)}")
    kept = {"id": call["id"]} if isinstance(call, dict) and call.get("id") else {}
    return kept | {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None or k in _NULLABLE}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value
