"""Settings of the schema registry: rows of `turbine.settings.Settings`."""

from turbine import _parsers as read
from turbine._setting import Setting

__all__ = ["RegistryRows"]


class RegistryRows:
    """The rows; what reads them is `turbine.settings.Settings`."""

    schema_registry = Setting(
        read.registry_urls,
        (),
        "Addresses of the schema registry, http://host:8081; several are of the same registry.",
    )
    schema_registry_username = Setting(
        read.optional(read.text), None, "User of the schema registry."
    )
    schema_registry_password = Setting(read.optional(read.text), None, "Their password.")
    schema_registry_token = Setting(
        read.optional(read.text), None, "Bearer token for the schema registry, instead of a user."
    )
    schema_registry_ca_location = Setting(
        read.optional(read.text), None, "PEM file of certificates that the registry may show."
    )
    schema_registry_certificate_location = Setting(
        read.optional(read.text), None, "PEM file of the certificate that is shown to the registry."
    )
    schema_registry_key_location = Setting(
        read.optional(read.text), None, "PEM file (PKCS #8) of the key of that certificate."
    )
    schema_registry_timeout = Setting(
        read.seconds, 10.0, "Longest wait for an answer of the registry at a time, in seconds."
    )
