"""Programs that tests run as worker processes: each is the text of an app file."""

from pathlib import Path

HERE = Path(__file__).parent


def source(name: str) -> str:
    """Text of the app file *name*."""
    return (HERE / f"{name}.py").read_text(encoding="utf-8")
