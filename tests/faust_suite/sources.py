"""Faust's tests and example programs, in a cache outside of the clone."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "0.15.3"
PIP = ["download", "--no-clean", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
PARTS = ("tests", "examples")


def cached() -> Path:
    """Give the folder that holds Faust's ``tests`` and ``examples``, fetched if need be."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = base / "turbine" / f"faust-streaming-{VERSION}"
    if not all((folder / part).is_dir() for part in PARTS):
        _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    """
    Unpack parts of the source archive into *folder*.

    pip unpacks an archive before it asks for the package's build requirements. Those are not
    needed: with ``--no-clean`` the unpacked folder stays, whatever pip says then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        told = subprocess.run(
            [sys.executable, "-m", "pip", *PIP, "--dest", scratch, f"faust-streaming=={VERSION}"],
            env={**os.environ, "TMPDIR": scratch},
            capture_output=True,
            text=True,
            check=False,
        )
        found = next(Path(scratch).glob("pip-download-*/faust-streaming_*"), None)
        if found is None:
            sys.exit(f"pip did not fetch faust-streaming {VERSION}:\n{told.stdout}{told.stderr}")
        for part in PARTS:
            shutil.copytree(found / part, folder / part, dirs_exist_ok=True)
