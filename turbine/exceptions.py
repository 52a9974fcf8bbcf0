"""
Every exception that Turbine raises.

::

    TurbineError
    +-- DeclarationError (TypeError)      an agent, subscription, topic or timer is declared wrongly
    +-- ConfigError (ValueError)          a setting is wrong, or does not fit another one
    +-- AppNotFound                       no app at the place that was named
    +-- NotRunning (RuntimeError)         the call needs a running app or client
    +-- KafkaError                        Kafka refused, or did not answer
    |   +-- BrokerUnavailable             no broker answers
    |   +-- SendError                     a record was not acknowledged
    +-- RegistryError                     a schema registry refused, or did not answer
    +-- StateError                        state cannot be read or written, or is damaged
    +-- DecodeError                       a record could not be decoded
    +-- EncodeError (ValueError)          a value or batch could not be encoded
    +-- ComputeError (ArithmeticError)    a value of a row cannot be computed
    +-- HandlerError                      a handler failed, and its policy is to stop
    +-- WorkerStopped                     the worker is drained; nothing more comes

A message says what is wrong and what to write instead.
"""

__all__ = [
    "AppNotFound",
    "BrokerUnavailable",
    "ComputeError",
    "ConfigError",
    "DeclarationError",
    "DecodeError",
    "EncodeError",
    "HandlerError",
    "KafkaError",
    "NotRunning",
    "RegistryError",
    "SendError",
    "StateError",
    "TurbineError",
    "WorkerStopped",
]


class TurbineError(Exception):
    """Base of all exceptions here."""


class DeclarationError(TurbineError, TypeError):
    """A declaration cannot work; raised where it is written, before anything runs."""


class ConfigError(TurbineError, ValueError):
    """A setting has a value that cannot work."""


class AppNotFound(TurbineError):  # noqa: N818 - reads as what happened
    """The command line names an app that cannot be found or imported."""


class NotRunning(TurbineError, RuntimeError):  # noqa: N818 - reads as what happened
    """The app has neither a worker nor a client running."""


class RegistryError(TurbineError):
    """A schema registry did not answer, or does not have what is needed."""


class StateError(TurbineError):
    """State on disk cannot be read or written, or is not what was written."""


class KafkaError(TurbineError):
    """
    Kafka, or the client library, refused or failed.

    Attributes:
        code: The client library's name of it, as ``"UNKNOWN_TOPIC_OR_PART"``; None if unknown.
        retryable: Whether the same call may succeed later.
    """

    def __init__(
        self, message: str = "", *, code: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class BrokerUnavailable(KafkaError):  # noqa: N818 - reads as what happened
    """No broker answers at the configured addresses."""


class SendError(KafkaError):
    """A record could not be sent, or was not acknowledged in time."""


class DecodeError(TurbineError):
    """A record could not be decoded."""


class EncodeError(TurbineError, ValueError):
    """A value or batch could not be encoded."""


class ComputeError(TurbineError, ArithmeticError):
    """A value of a row cannot be computed, and the policy is ``on_compute_error="fail"``."""


class HandlerError(TurbineError):
    """A handler raised, and its ``on_error`` policy is ``"fail"``; the cause is chained."""


class WorkerStopped(TurbineError):  # noqa: N818 - reads as what happened
    """The worker has been stopped and everything handed out is complete."""
