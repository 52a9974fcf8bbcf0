"""
Codecs with a schema in a registry: `AvroSerializer` and `JsonSerializer`.

Values have Confluent's frame in front: a zero byte and the id of their schema. The registry is
asked once for a schema, when a value with it is read or written first; the event loop waits for it.
What is not here: Avro and Protobuf in columns, which subscriptions read without Python
(`turbine.codecs`), and checks of JSON against its schema.
"""

import base64
import io
import json
import struct
import urllib.error
import urllib.request
from typing import Any, Final

from turbine.exceptions import DecodeError, RegistryError
from turbine.faust.exceptions import ImproperlyConfigured
from turbine.faust.models.base import Model
from turbine.faust.serializers.codec import Codec
from turbine.faust.utils import json as _json

__all__ = ["AvroSerializer", "JsonSerializer", "SchemaRegistryClient"]

_FRAME: Final = struct.Struct(">bI")
_TYPE: Final = "application/vnd.schemaregistry.v1+json"


class SchemaRegistryClient:
    """
    A registry, and what it has said.

    Args:
        url: Its address: ``http://host:8081``.
        username: User; None: nobody in particular.
        password: Their password.
        token: Bearer token instead of a user.
        timeout_s: Longest wait for an answer.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ImproperlyConfigured(f"url={url!r} is no address: write http://host:8081")
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": _TYPE, "Accept": _TYPE}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        elif username is not None:
            pair = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, str] = {}

    def __repr__(self) -> str:
        return f"<SchemaRegistryClient {self.url}>"

    def id_of(self, subject: str, schema: str, kind: str) -> int:
        """
        Register a schema, if it is not there, and give its id.

        Raises:
            RegistryError: The registry does not answer, or refuses the schema.
        """
        known = self._ids.get((subject, schema))
        if known is None:
            body = {"schema": schema, "schemaType": kind}
            known = int(self._ask(f"/subjects/{subject}/versions", body)["id"])
            self._ids[subject, schema] = known
        return known

    def schema_of(self, schema_id: int) -> str:
        """
        Give the text of a schema.

        Raises:
            RegistryError: The registry does not answer, or has none with that id.
        """
        known = self._schemas.get(schema_id)
        if known is None:
            known = self._schemas[schema_id] = str(self._ask(f"/schemas/ids/{schema_id}")["schema"])
        return known

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self._headers)  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            told = exc.read().decode(errors="replace")[:200]
            raise RegistryError(f"{self.url}{path} answers {exc.code}: {told}") from None
        except (OSError, ValueError) as exc:
            raise RegistryError(
                f"the schema registry {self.url} does not answer ({exc}): check its address"
            ) from None


class _Registered(Codec):
    """A codec whose values carry the id of their schema."""

    kind = ""

    def __init__(
        self,
        client: SchemaRegistryClient | str,
        subject: str,
        schema: Any,
        children: tuple[Codec, ...] | None = None,
    ) -> None:
        made = SchemaRegistryClient(client) if isinstance(client, str) else client
        super().__init__(children, client=made, subject=subject, schema=schema)
        self.client = made
        self.subject = subject
        self.schema = schema if isinstance(schema, str) else json.dumps(schema)

    def _framed(self, payload: bytes) -> bytes:
        number = self.client.id_of(self.subject, self.schema, self.kind)
        return _FRAME.pack(0, number) + payload

    def _opened(self, data: bytes) -> tuple[int, bytes]:
        if len(data) < _FRAME.size or data[0] != 0:
            raise DecodeError(
                f"{data[:16]!r} has no id of a schema in front: it was not written with a registry"
            )
        return _FRAME.unpack_from(data)[1], data[_FRAME.size :]


class JsonSerializer(_Registered):
    """
    JSON with a schema in a registry; values are not checked against it.

    Args:
        client: The registry, or its address.
        subject: Subject of the schema: ``orders-value``.
        schema: JSON schema, as text or a dict.
    """

    kind = "JSON"

    def _dumps(self, s: Any) -> bytes:
        return self._framed(_json.dumps_bytes(s))

    def _loads(self, s: bytes) -> Any:
        return _json.loads(self._opened(s)[1])


class AvroSerializer(_Registered):
    """
    Avro with a schema in a registry, by fastavro.

    Values written with another version of the schema are read as this one.

    Args:
        client: The registry, or its address.
        subject: Subject of the schema: ``orders-value``.
        schema: Avro schema, as text or a dict.
    """

    kind = "AVRO"

    def __init__(
        self,
        client: SchemaRegistryClient | str,
        subject: str,
        schema: Any,
        children: tuple[Codec, ...] | None = None,
    ) -> None:
        super().__init__(client, subject, schema, children)
        self._avro = _need_fastavro()
        self._own = self._avro.parse_schema(json.loads(self.schema))
        self._writers: dict[int, Any] = {}

    def _dumps(self, s: Any) -> bytes:
        out = io.BytesIO()
        self._avro.schemaless_writer(out, self._own, _plain(s))
        return self._framed(out.getvalue())

    def _loads(self, s: bytes) -> Any:
        number, payload = self._opened(s)
        writer = self._writers.get(number)
        if writer is None:
            text = json.loads(self.client.schema_of(number))
            writer = self._writers[number] = self._avro.parse_schema(text)
        return self._avro.schemaless_reader(io.BytesIO(payload), writer, self._own)


def _plain(value: Any) -> Any:
    """Give records in *value* as dicts."""
    if isinstance(value, Model):
        value = value.to_representation()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value


def _need_fastavro() -> Any:
    try:
        import fastavro
    except ImportError:
        raise ImproperlyConfigured("AvroSerializer needs fastavro: pip install fastavro") from None
    return fastavro
