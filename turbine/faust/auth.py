"""Credentials for brokers, under the names that Faust gives them."""

import ssl
from enum import Enum
from typing import Any

from turbine._credentials import tls_settings
from turbine.exceptions import ConfigError
from turbine.faust.types.auth import AuthProtocol, SASLMechanism

__all__ = ["GSSAPICredentials", "OAuthCredentials", "SASLCredentials", "SSLCredentials"]

_MECHANISMS = tuple(SASLMechanism)


class _Sasl:
    """
    What all ways of SASL share.

    Attributes:
        mechanism: Name of the way.
        ssl_context: TLS below it; None: the app's ``ssl_context``, else none.
    """

    def __init__(self, mechanism: object, ssl_context: ssl.SSLContext | None) -> None:
        self.mechanism = _mechanism(mechanism)
        self.ssl_context = ssl_context

    @property
    def protocol(self) -> AuthProtocol:
        """How they are sent, if the app has no ``ssl_context`` of its own."""
        has_tls = self.ssl_context is not None
        return AuthProtocol.SASL_SSL if has_tls else AuthProtocol.SASL_PLAINTEXT

    def client_settings(self, tls: ssl.SSLContext | None) -> dict[str, str]:
        """Settings of the client library."""
        context = self.ssl_context or tls
        protocol = "sasl_plaintext" if context is None else "sasl_ssl"
        below = {} if context is None else tls_settings(context)
        return {"security.protocol": protocol, "sasl.mechanism": self.mechanism, **below}


class SASLCredentials(_Sasl):
    """
    User and password.

    Args:
        username: User.
        password: Their password.
        ssl_context: TLS to the brokers.
        mechanism: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``, as text or as an enum.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        mechanism: str | Enum | None = None,
    ) -> None:
        super().__init__("PLAIN" if mechanism is None else mechanism, ssl_context)
        self.username = username
        self.password = password

    def client_settings(self, tls: ssl.SSLContext | None) -> dict[str, str]:
        """Settings of the client library."""
        who = {"sasl.username": self.username or "", "sasl.password": self.password or ""}
        return {**super().client_settings(tls), **who}

    def __repr__(self) -> str:
        return f"<SASLCredentials: username={self.username}>"


class GSSAPICredentials(_Sasl):
    """
    Kerberos.

    Args:
        kerberos_service_name: Service that the brokers run as.
        kerberos_domain_name: Not needed: the client library finds it.
        ssl_context: TLS to the brokers.
        mechanism: ``GSSAPI``.
    """

    def __init__(
        self,
        *,
        kerberos_service_name: str = "kafka",
        kerberos_domain_name: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        mechanism: str | Enum | None = None,
    ) -> None:
        super().__init__("GSSAPI" if mechanism is None else mechanism, ssl_context)
        self.kerberos_service_name = kerberos_service_name
        self.kerberos_domain_name = kerberos_domain_name

    def client_settings(self, tls: ssl.SSLContext | None) -> dict[str, str]:
        """Settings of the client library."""
        name = {"sasl.kerberos.service.name": self.kerberos_service_name}
        return {**super().client_settings(tls), **name}

    def __repr__(self) -> str:
        return f"<GSSAPICredentials: service={self.kerberos_service_name!r}>"


class OAuthCredentials(_Sasl):
    """
    OAuth tokens. A token provider in Python cannot be asked by the client library.

    Args:
        oauth_cb: Refused when the app starts; see `client_settings`.
        ssl_context: TLS to the brokers.
    """

    def __init__(self, *, oauth_cb: Any, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__("OAUTHBEARER", ssl_context)
        self.oauth_cb = oauth_cb

    def client_settings(self, tls: ssl.SSLContext | None) -> dict[str, str]:  # noqa: ARG002 - as all
        """
        Refuse.

        Raises:
            ConfigError: Always; it names the settings with which the client gets tokens itself.
        """
        raise ConfigError(
            "OAuthCredentials(oauth_cb=...) is not possible: let the client get its tokens, kafka="
            "{'sasl.oauthbearer.method': 'oidc', 'sasl.oauthbearer.token.endpoint.url': ..., "
            "'sasl.oauthbearer.client.id': ..., 'sasl.oauthbearer.client.secret': ...}"
        )


class SSLCredentials:
    """
    TLS without a user.

    Args:
        context: What to use; the rest then has no effect.
        purpose: Of a context that is made.
        cafile: Whom it trusts, as `ssl.create_default_context` takes it.
        capath: The same.
        cadata: The same.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        purpose: ssl.Purpose | None = None,
        cafile: str | None = None,
        capath: str | None = None,
        cadata: str | None = None,
    ) -> None:
        self.context = context or ssl.create_default_context(
            purpose=purpose or ssl.Purpose.SERVER_AUTH,
            cafile=cafile,
            capath=capath,
            cadata=cadata,
        )

    protocol = AuthProtocol.SSL

    def client_settings(self, tls: ssl.SSLContext | None) -> dict[str, str]:
        """Settings of the client library."""
        del tls
        return {"security.protocol": "ssl", **tls_settings(self.context)}

    def __repr__(self) -> str:
        return f"<SSLCredentials: context={self.context}>"


def _mechanism(value: object) -> str:
    word = str(getattr(value, "value", value)).upper()
    if word not in _MECHANISMS:
        raise ConfigError(f"mechanism={value!r} is not one of {', '.join(_MECHANISMS)}")
    return word
