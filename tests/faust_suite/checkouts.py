"""
Public programs that were written for Faust, checked out beside the clone.

Nothing of them is kept here, and nothing is fetched without being asked for: whoever wants to run
them clones them into the cache, by the command that `Missing` names.
"""

import os
from pathlib import Path

BASE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "turbine" / "faust-programs"


class Missing(Exception):  # noqa: N818 - nothing went wrong
    """A program that is not there, and what brings it."""


def checkout(repository: str, path: str = "") -> Path:
    """Give the place of *path* in a public repository, ``owner/name``."""
    place = BASE / repository.replace("/", "+")
    if not (place / path).exists():
        raise Missing(f"git clone --depth 1 https://github.com/{repository} {place}")
    return place / path


def packages(*names: str) -> Path:
    """Give the folder with what programs import besides Faust."""
    site = BASE / "site"
    if not site.exists():
        raise Missing(f"pip install --target {site} {' '.join(names)}")
    return site
