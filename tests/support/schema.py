"""schema.py: whether a JSON value is what a schema of docs/schemas says.

It knows the keywords that stand there and refuses any other. In one thing it is stricter than JSON Schema: a field
that an object's schema does not name is a complaint, since our programs write none that the schema does not tell of.
"""
import json
import re

import harness

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
         "number": (int, float)}
IGNORED = {"$schema", "$defs", "$ref", "title", "description"}


def is_a(value, name):
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def are(name, condition):
    """The keyword says nothing of values of another type."""
    return lambda value, wanted: not is_a(value, name) or condition(value, wanted)


# Keywords that need no other schema: what the value has to be.
PLAIN = {
    "type": lambda value, wanted: any(is_a(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted)),
    "const": lambda value, wanted: value == wanted,
    "enum": lambda value, wanted: value in wanted,
    "pattern": are("string", lambda value, wanted: re.search(wanted, value)),
    "minLength": are("string", lambda value, wanted: len(value) >= wanted),
    "maxLength": are("string", lambda value, wanted: len(value) <= wanted),
    "minimum": are("number", lambda value, wanted: value >= wanted),
    "exclusiveMinimum": are("number", lambda value, wanted: value > wanted),
    "maximum": are("number", lambda value, wanted: value <= wanted),
    "minItems": are("array", lambda value, wanted: len(value) >= wanted),
    "maxItems": are("array", lambda value, wanted: len(value) <= wanted),
    "uniqueItems": are("array", lambda value, wanted: len({json.dumps(item) for item in value}) == len(value)),
    "required": are("object", lambda value, wanted: set(wanted) <= value.keys()),
}


class Schema:
    """One file of docs/schemas."""

    def __init__(self, name):
        self.root = json.loads((harness.ROOT / "docs/schemas" / f"{name}.json").read_text())

    def complaints(self, value):
        """One sentence per violation."""
        return list(self._complaints(value, self.root, "$"))

    def _fits(self, value, schema):
        return not list(self._complaints(value, schema, ""))

    def _complaints(self, value, schema, path):
        if isinstance(schema, bool):
            if not schema:
                yield f"{path} must not be there"
            return
        if "$ref" in schema:
            yield from self._complaints(value, self.root["$defs"][schema["$ref"].removeprefix("#/$defs/")], path)
        for keyword, wanted in schema.items():
            if keyword in PLAIN:
                if not PLAIN[keyword](value, wanted):
                    yield f"{path}: {keyword} {wanted} does not hold for {str(value)[:200]}"
            elif keyword in ("oneOf", "anyOf"):
                count = sum(self._fits(value, choice) for choice in wanted)
                if count == 0 or count > 1 and keyword == "oneOf":
                    yield f"{path}: {count} choices of {keyword} fit"
            elif keyword == "not":
                if self._fits(value, wanted):
                    yield f"{path}: it fits what it must not"
            elif keyword == "items":
                for number, item in enumerate(value if is_a(value, "array") else []):
                    yield from self._complaints(item, wanted, f"{path}[{number}]")
            elif keyword not in IGNORED | {"properties", "propertyNames", "additionalProperties"}:
                raise ValueError(f"schema.py does not know the keyword {keyword}")
        if is_a(value, "object"):
            yield from self._field_complaints(value, schema, path)

    def _field_complaints(self, value, schema, path):
        named = schema.get("properties", {})
        # A choice of oneOf says nothing of the fields that it does not name; what gives the type names all.
        rest = schema.get("additionalProperties", not (named and "type" in schema))
        for name, field in value.items():
            yield from self._complaints(name, schema.get("propertyNames", True), f"{path}: the name {name}")
            yield from self._complaints(field, named.get(name, rest), f"{path}.{name}")
