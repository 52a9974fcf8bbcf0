"""Choices that Faust has as an enum."""

from enum import StrEnum

__all__ = ["ProcessingGuarantee"]


class ProcessingGuarantee(StrEnum):
    """What ``processing_guarantee=`` takes, besides the words themselves."""

    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"
