"""
Refuse source files that have grown beyond what one sits down to read.

Code may have 500 lines with its documentation, tests 600; a longer file does two things.
"""

import subprocess
import sys
from pathlib import Path

CODE_LINES = 500
TEST_LINES = 600
SUFFIXES = {".py", ".pyi", ".rs", ".sh"}


def tracked() -> list[Path]:
    """List the files under version control, or all of them in an unpacked archive."""
    git = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if git.returncode == 0:
        return [Path(line) for line in git.stdout.splitlines()]
    roots = ["src", "turbine", "tests", "benches", "bench", "examples", "scripts"]
    return [path for root in roots for path in Path(root).rglob("*")]


def is_test(path: Path) -> bool:
    """Say whether *path* holds tests only."""
    return path.parts[0] == "tests" or path.name == "tests.rs" or "tests" in path.parts


def main() -> int:
    """Print every file that is too long; the number of them decides the exit code."""
    too_long = 0
    for path in sorted(tracked()):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8").count("\n")
        most = TEST_LINES if is_test(path) else CODE_LINES
        if lines > most:
            print(f"{path}: {lines} lines, at most {most}: split it")
            too_long += 1
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
