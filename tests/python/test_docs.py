"""What the documentation says is true: its programs run, its links lead somewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.brokers import ROOT
from support.fixtures import MakeWorker
from support.kafka import Cluster

DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(ROOT.glob("bench/*.md")),
    *sorted(ROOT.glob("examples/data/*.md")),
    *sorted(DOCS.rglob("*.md")),
]

BLOCK = re.compile(
    r"^```python(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


def blocks(page: Path) -> Iterator[tuple[str | None, str]]:
    """Yield title and code of every Python block."""
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield match["title"], match["code"]


def files(page: Path) -> dict[str, str]:
    """Put blocks with one title together: they are one file, shown in parts."""
    parts: dict[str, list[str]] = {}
    for title, code in blocks(page):
        if title is not None:
            parts.setdefault(title, []).append(code)
    return {title: "\n\n".join(code) for title, code in parts.items()}


def with_own_names(source: str, app_id: str, **topics: str) -> str:
    """Replace the app's id and its topics, so that no two tests meet."""
    for name, unique in {"shop": app_id, **topics}.items():
        source = source.replace(f'"{name}"', f'"{unique}"')
    return source


def anchors(page: Path) -> set[str]:
    """List the places of a page that a link can name."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    words = (re.sub(r"[^\w\s-]", "", match["text"].lower()) for match in HEADING.finditer(text))
    return {re.sub(r"\s+", "-", heading.strip()) for heading in words}


# -- programs --------------------------------------------------------------------------------


def test_the_program_of_the_readme_runs(
    cluster: Cluster, app_id: str, worker_process: MakeWorker
) -> None:
    """As a worker: its agent prints, its subscription publishes."""
    [source] = [code for title, code in blocks(ROOT / "README.md") if title is None]
    orders, taxed = cluster.make_topic("orders"), cluster.make_topic("taxed")
    source = with_own_names(source, app_id, orders=orders, taxed=taxed)
    with worker_process(source, env={"TURBINE_BROKER": cluster.address}) as worker:
        cluster.produce(orders, [b'{"user": "ada", "amount": 120}'])
        worker.wait_output("ada orders for 120")
        assert cluster.consume(taxed, 1)[0].value == b'{"user":"ada","amount":120,"tax":24.0}'
        assert worker.terminate() == 0


def test_the_program_of_the_readme_is_the_example() -> None:
    """Both read and write the same, so that the commands below it fit both."""
    [source] = [code for title, code in blocks(ROOT / "README.md") if title is None]
    example = (ROOT / "examples" / "hello.py").read_text(encoding="utf-8")
    for line in source.splitlines():
        if line.startswith("@app") or "print(" in line or "return" in line:
            assert line in example


def test_the_application_of_getting_started_runs(
    cluster: Cluster, app_id: str, worker_process: MakeWorker, tmp_path: Path
) -> None:
    """Its worker handles what its other program sends."""
    page = files(DOCS / "getting-started.md")
    names = {name: cluster.make_topic(name) for name in ("orders", "taxed", "orders-dead")}
    shop = with_own_names(page["shop.py"], app_id, **names)
    env = {"TURBINE_BROKER": cluster.address}
    (tmp_path / "shop.py").write_text(shop, encoding="utf-8")
    (tmp_path / "fill.py").write_text(page["fill.py"], encoding="utf-8")

    subprocess.run(
        [sys.executable, "fill.py"], cwd=tmp_path, env=os.environ | env, check=True, timeout=30
    )
    with worker_process(shop, env=env) as worker:
        worker.wait_output("bob orders for 30.5")
        assert len(cluster.consume(names["taxed"], 3)) == 3
        assert worker.terminate() == 0


@pytest.mark.embedded
def test_the_tests_of_getting_started_pass(tmp_path: Path) -> None:
    for name, source in files(DOCS / "getting-started.md").items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_the_blocks_of_a_guide_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    """Their declarations are accepted; a block may use what those before it define."""
    source = "\n\n".join(code for title, code in blocks(page) if title is None)
    program = tmp_path / "page.py"
    program.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "import page"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "declarations warn about nothing"


# -- facts -----------------------------------------------------------------------------------


def test_every_metric_is_described() -> None:
    """The reference names exactly the metrics of the core."""
    sources = [ROOT / "src" / "metrics.rs", *(ROOT / "src" / "metrics").glob("*.rs")]
    source = "".join(file.read_text(encoding="utf-8") for file in sources)
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(turbine_\w+)`", page, re.MULTILINE))
    assert described == set(re.findall(r'"(turbine_\w+)"', source))


def test_every_setting_is_described() -> None:
    from turbine.settings import ROWS

    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == sorted(ROWS)


def test_every_request_of_the_embedded_broker_is_listed_with_its_versions() -> None:
    source = (ROOT / "src" / "broker" / "wire" / "api.rs").read_text(encoding="utf-8")
    page = (DOCS / "reference" / "broker.md").read_text(encoding="utf-8")
    served = re.findall(r"^    \(ApiKey::(\w+), (\d+), (\d+)\),$", source, re.MULTILINE)
    assert served
    table = re.findall(r"^\| \d+ \| (\w+) \| (\d+)(?: to (\d+))? \|", page, re.MULTILINE)
    listed = {name: (oldest, newest or oldest) for name, oldest, newest in table}
    assert listed == {name: (oldest, newest) for name, oldest, newest in served}


# -- links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        target, _, anchor = match["target"].partition("#")
        if target.startswith(("http://", "https://")):
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{page.name} links to {target}, which does not exist"
        assert not anchor or anchor in anchors(linked), f"{target} has no heading {anchor!r}"


def test_every_page_is_in_the_navigation() -> None:
    """A page that the menu does not list is found by nobody."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert {page for page in pages if page not in menu and not page.startswith("decisions/0")} == (
        set()
    )


def test_every_decision_is_in_the_list() -> None:
    pages = {page.name for page in (DOCS / "decisions").glob("0*.md")}
    text = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    assert pages == {match["target"] for match in LINK.finditer(text)}
