"""Words that credentials take, as programs import them; each is its text."""

from enum import StrEnum

__all__ = ["AuthProtocol", "SASLMechanism"]


class AuthProtocol(StrEnum):
    """How a client and a broker talk."""

    SSL = "SSL"
    PLAINTEXT = "PLAINTEXT"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SASLMechanism(StrEnum):
    """How a client shows who it is."""

    PLAIN = "PLAIN"
    GSSAPI = "GSSAPI"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"
