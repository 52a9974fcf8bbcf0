"""
Write the pages of the reference that come from docstrings, or say which are stale.

`--check` changes nothing and fails if a page is not what the code says.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import settings_page

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"^(Args|Returns|Raises|Example):\n", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}[\w.]+): ", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One page: all public names of a module."""

    module: str
    title: str
    before: str = ""
    """What the examples take for granted."""
    without: tuple[str, ...] = ()
    """Names for the rest of the package, not for readers."""

    @property
    def path(self) -> Path:
        """Where the page is."""
        return ROOT / "docs" / "reference" / f"{self.module.rpartition('.')[2]}.md"


ORDERS = """
The examples read these rows:

```python
import pyarrow as pa
import pyarrow.compute as pc
from dataclasses import dataclass
from turbine.aggregates import *

orders = pa.table(
    {
        "user": ["ada", "ada", "bob", "ada"],
        "item": ["pen", "ink", "pen", "pen"],
        "amount": [10, 20, 5, 30],
        "pieces": [1, 2, 1, 3],
        "paid": [True, False, False, True],
    }
)
```
"""

CLEAN = """
```python
from turbine.functions import col, filter, when, with_columns

def clean(batch):
    batch = filter(batch, (col("amount") > 0) & col("user.country").is_in(["DE", "FR"]))
    size = when(col("amount") > 1000).then("large").otherwise("small")
    return with_columns(batch, net=col("amount") / (1 + col("vat")), size=size)
```
"""

PAGES = [
    Page(
        "turbine.aggregates",
        "Aggregates",
        ORDERS,
        ("Aggregate", "Column", "Expression", "as_specs"),
    ),
    Page("turbine.functions", "Expressions", CLEAN, ("Expr",)),
]


def sections(doc: str) -> dict[str, str]:
    """Split a docstring into its text (under ``""``) and its sections."""
    first, *rest = SECTION.split(inspect.cleandoc(doc))
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return {"": first.strip()} | {name: inspect.cleandoc(text).strip() for name, text in pairs}


def prose(text: str) -> str:
    """Join the lines of each paragraph; double backquotes are one in Markdown."""
    paragraphs = re.split(r"\n\s*\n", text.replace("``", "`"))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def entries(text: str) -> Iterator[str]:
    """Yield each parameter or error as a line of a list."""
    _, *rest = ENTRY.split(text)
    for name, what in zip(rest[::2], rest[1::2], strict=True):
        yield f"- `{name}`: {prose(what)}"


def call(name: str, thing: Any) -> str:
    """Write how it is called, without types."""
    shown = []
    star = False
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        star |= parameter.kind is parameter.VAR_POSITIONAL
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else stars
        shown.append(f"{stars}{parameter.name}{default}")
    return f"{name}({', '.join(shown)})"


def summary(thing: Any) -> str:
    """Take the first sentence of a docstring."""
    return prose(sections(thing.__doc__)[""]).split("\n")[0].split(". ")[0].removesuffix(".")


def described(name: str, thing: Any) -> Iterator[str]:
    """Yield the paragraphs about one name."""
    doc = sections(thing.__doc__)
    yield f"## {name}"
    yield f"```python\n{call(name, thing)}\n```"
    yield prose(doc[""])
    for section in ("Args", "Raises"):
        if section in doc:
            yield "\n".join(entries(doc[section]))
    if "Returns" in doc:
        yield f"Returns: {prose(doc['Returns'])}"
    if "Example" in doc:
        yield f"```pycon\n{doc['Example']}\n```"


def public(page: Page, module: ModuleType) -> dict[str, Any]:
    """List what the page is about."""
    things = {name: getattr(module, name) for name in module.__all__ if name not in page.without}
    return {name: thing for name, thing in things.items() if callable(thing)}


def text_of(page: Page) -> str:
    """Write a page."""
    module = importlib.import_module(page.module)
    things = public(page, module)
    own = {name: thing for name, thing in things.items() if thing.__name__ == name}
    parts = [f"# {page.title}", prose(inspect.cleandoc(module.__doc__ or "")), page.before.strip()]
    rows = [f"| [`{name}`](#{name.lower()}) | {summary(thing)} |" for name, thing in own.items()]
    parts.append("\n".join(["| | |", "| --- | --- |", *rows]))
    for name, thing in own.items():
        parts.extend(described(name, thing))
    aliases = [f"`{name}` is `{t.__name__}`" for name, t in things.items() if name not in own]
    if aliases:
        parts.extend(["## Other names", f"{', '.join(aliases)}."])
    note = "<!-- From the docstrings, by scripts/reference.py: `make fix` writes it again. -->"
    return "\n\n".join([note, *(part for part in parts if part)]) + "\n"


def stale() -> dict[Path, str]:
    """Give the pages that are not what the code says, as they should be."""
    wanted = {page.path: text_of(page) for page in PAGES}
    wanted[ROOT / "docs" / "reference" / "settings.md"] = settings_page.text()
    written = {path: path.read_text("utf-8") if path.exists() else "" for path in wanted}
    return {path: text for path, text in wanted.items() if written[path] != text}


def main() -> int:
    """Write the pages, or with ``--check`` only say which are stale."""
    pages = stale()
    for path, text in pages.items():
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is stale: run `make fix`")
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if pages and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
