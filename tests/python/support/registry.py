"""A schema registry for a test, and what is asked of it past our own client."""

import io
import json
import struct
from collections.abc import Iterable
from typing import Any

import fastavro
import httpx

from turbine import _native


def frame(schema_id: int, data: bytes) -> bytes:
    """Return *data* in Confluent's wire format."""
    return struct.pack(">bI", 0, schema_id) + data


class Registry:
    """
    The registry of the package, in this process.

    Attributes:
        native: The registry itself.
        url: Its address.
    """

    def __init__(self, **options: Any) -> None:
        self.native = _native.SchemaRegistry(**options)
        self.url = self.native.url

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer that must be well."""
        answer = httpx.request(method, f"{self.url}{path}", json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def register(self, subject: str, schema: Any) -> int:
        """Register an Avro schema; its id."""
        body = {"schema": json.dumps(schema)}
        return int(self.ask("POST", f"/subjects/{subject}/versions", body)["id"])

    def latest(self, subject: str) -> Any:
        """Return the latest version of *subject*."""
        return self.ask("GET", f"/subjects/{subject}/versions/latest")

    def framed(self, schema: Any, events: Iterable[Any]) -> list[bytes]:
        """Return *events* as a producer with this registry writes them."""
        number = self.register(f"{schema['name']}-value", schema)
        parsed = fastavro.parse_schema(schema)
        values = []
        for event in events:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, event)
            values.append(frame(number, out.getvalue()))
        return values

    def stop(self) -> None:
        """End it."""
        self.native.stop()
