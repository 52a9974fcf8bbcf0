"""
The workloads in Faust's own program with nothing changed but its import: ``peers/faust_app.py``.

Started as Faust's is, with ``worker -l error``, by the command of this package.
"""

import os
import sys
from pathlib import Path

from turbine.cli import main

PROGRAM = Path(__file__).resolve().parent / "peers" / "faust_app.py"


def changed(folder: Path) -> Path:
    """Write the program into *folder*, with its import changed; return its path."""
    text = PROGRAM.read_text(encoding="utf-8")
    source = text.replace("\nimport faust\n", "\nfrom turbine import faust\n")
    if source == text:
        raise SystemExit(f"{PROGRAM} has no import to change")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / PROGRAM.name
    target.write_text(source, encoding="utf-8")
    return target


if __name__ == "__main__":
    program = changed(Path(os.environ["STATE"]))
    sys.argv = ["turbine", "-A", str(program), "worker", "-l", "error"]
    main()
