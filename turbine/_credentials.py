"""What the brokers ask for, as settings of the client library."""

import logging
import ssl
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from turbine.exceptions import ConfigError

__all__ = ["Credentials", "client_settings", "credentials", "ssl_context", "tls_settings"]

logger = logging.getLogger("turbine.settings")


@runtime_checkable
class Credentials(Protocol):
    """An object that knows its settings of the client library."""

    def client_settings(self, tls: ssl.SSLContext | None) -> Mapping[str, str]:
        """Settings by the client's names; *tls* is the app's own context, if it has one."""


def credentials(value: object) -> Credentials | ssl.SSLContext | None:
    """
    Read the setting ``broker_credentials``.

    Raises:
        ConfigError: It is neither credentials nor a context; leaving it out would connect without.
    """
    if value is None or isinstance(value, Credentials | ssl.SSLContext):
        return value
    raise ConfigError(
        f"expects an ssl.SSLContext or credentials, as faust.SASLCredentials(username=..., "
        f"password=...), not {type(value).__name__}; or set "
        "kafka={'security.protocol': 'sasl_ssl', 'sasl.mechanism': ..., ...}"
    )


def ssl_context(value: object) -> ssl.SSLContext | None:
    """
    Read the setting ``ssl_context``.

    Raises:
        ConfigError: It is something else; leaving it out would connect without TLS.
    """
    if value is None or isinstance(value, ssl.SSLContext):
        return value
    raise ConfigError(
        f"expects an ssl.SSLContext, not {type(value).__name__}; or set "
        "kafka={'security.protocol': 'ssl', 'ssl.ca.location': ...}"
    )


def client_settings(
    given: Credentials | ssl.SSLContext | None, tls: ssl.SSLContext | None
) -> dict[str, str]:
    """Settings of the client for the app's credentials *given* and its context *tls*."""
    if isinstance(given, ssl.SSLContext):
        return {"security.protocol": "ssl", **tls_settings(given)}
    if given is not None:
        return dict(given.client_settings(tls))
    return {} if tls is None else {"security.protocol": "ssl", **tls_settings(tls)}


def tls_settings(context: ssl.SSLContext) -> dict[str, str]:
    """
    Take over what can be read from *context*: whom it trusts and how it checks.

    A context does not give back a client certificate that was loaded into it.
    """
    settings: dict[str, Any] = {}
    trusted = context.get_ca_certs(binary_form=True)
    if trusted:
        settings["ssl.ca.pem"] = "".join(map(ssl.DER_cert_to_PEM_cert, trusted))
    elif context.verify_mode is not ssl.CERT_NONE:
        paths = ssl.get_default_verify_paths()
        settings["ssl.ca.location"] = paths.cafile or paths.capath or "probe"
    if context.verify_mode is ssl.CERT_NONE:
        settings["enable.ssl.certificate.verification"] = "false"
    checks_name = context.check_hostname and context.verify_mode is not ssl.CERT_NONE
    settings["ssl.endpoint.identification.algorithm"] = "https" if checks_name else "none"
    logger.debug(
        "TLS as the ssl.SSLContext says; a client certificate in it cannot be read back: set "
        "kafka={'ssl.certificate.location': ..., 'ssl.key.location': ...}"
    )
    return settings
