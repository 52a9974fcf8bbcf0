"""File systems that are too small, and files that are not what was written."""

import random
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """
    A file system of its own, in memory.

    Args:
        place: An empty directory; the test is skipped where this user may not mount there.
        megabytes: Its size.
    """

    def __init__(self, place: Path, megabytes: int) -> None:
        self.place = place
        place.mkdir(exist_ok=True)
        problem = self._mount(f"size={megabytes}m")
        if problem:
            pytest.skip(f"this user may not mount a file system: {problem}")

    def fill(self) -> Path:
        """Leave no room; the file that has it all."""
        ballast = self.place / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                return ballast

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", str(self.place)], check=False)

    def _mount(self, options: str) -> str:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as exc:
            return str(exc)
        return done.stderr.strip() if done.returncode else ""


def flip(file: Path, at: int, count: int = 1) -> None:
    """Invert *count* bytes of *file*, from *at* on; negative: from its end."""
    content = bytearray(file.read_bytes())
    for index in range(at, at + count):
        content[index] ^= 0xFF
    file.write_bytes(content)


def cut(file: Path, by: int) -> None:
    """Take so many bytes from the end of *file*."""
    file.write_bytes(file.read_bytes()[:-by])


def newest(directory: Path, pattern: str) -> Path:
    """The file with the largest number in its name."""
    return max(directory.glob(pattern))


def largest(directory: Path, pattern: str) -> Path:
    """The largest file."""
    return max(directory.glob(pattern), key=lambda file: file.stat().st_size)


def damage(directory: Path, dice: random.Random) -> str:
    """Do something bad to one of the files that are read again at a start; what it was."""
    files = sorted(
        file
        for file in directory.iterdir()
        if not file.name.startswith(("LOG", "LOCK", "OPTIONS")) and file.stat().st_size
    )
    file = dice.choice(files)
    content = bytearray(file.read_bytes())
    at = dice.randrange(len(content))
    match dice.randrange(4):
        case 0:
            content[at] ^= 1 << dice.randrange(8)
            what = f"a flipped bit at {at} of {len(content)} in {file.name}"
        case 1:
            zeros = min(dice.randrange(1, 64), len(content) - at)
            content[at : at + zeros] = bytes(zeros)
            what = f"{zeros} zeros at {at} of {len(content)} in {file.name}"
        case 2:
            what = f"{file.name} cut to {at} of {len(content)} bytes"
            del content[at:]
        case _:
            file.unlink()
            return f"{file.name} is gone"
    file.write_bytes(content)
    return what
