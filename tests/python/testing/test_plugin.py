"""The pytest plugin in test-suites of others: what it needs, what it fails, what it says."""

import importlib.util
import os
import sys

import pytest

from support.brokers import ROOT

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.embedded

FLOW = """
    import turbine

    def doubling(app, source, sink):
        @app.agent(source, sink=[sink])
        async def double(stream):
            async for number in stream:
                yield 2 * number
        return app
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite with a module that tests import, which finds this Turbine."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    pytester.makepyfile(flow=FLOW)
    return pytester


def run(suite: pytest.Pytester, *args: str, mode: str = "auto") -> pytest.RunResult:
    """Run the suite in a process of its own, with the plugin."""
    options = ["-p", "turbine.testing.plugin", "-p", "no:randomly", "-W", "error"]
    if "no:asyncio" not in args:
        options += [
            "-o",
            f"asyncio_mode={mode}",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
        ]
    return suite.runpytest_subprocess(*options, *args)


ASYNC_TEST = """
    from flow import doubling

    {marker}
    async def test_async(turbine_topics, turbine_app, turbine_worker):
        numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
        await turbine_worker(doubling(turbine_app(), numbers, doubles))
        await numbers.put(1, 2)
        await doubles.expect([2, 4], order="any")
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_it_works_with_pytest_asyncio(suite: pytest.Pytester, mode: str) -> None:
    marker = "import pytest\n    @pytest.mark.asyncio" if mode == "strict" else ""
    suite.makepyfile(ASYNC_TEST.format(marker=marker))
    run(suite, "-p", "no:cacheprovider", mode=mode).assert_outcomes(passed=1)


def test_it_works_with_the_plugin_of_anyio(suite: pytest.Pytester) -> None:
    marker = "import pytest\n    @pytest.mark.anyio"
    fixture = """
    @pytest.fixture(params=["asyncio", "trio"] if has_trio else ["asyncio"])
    def anyio_backend(request):
        return request.param
    """
    has_trio = importlib.util.find_spec("trio") is not None
    source = ASYNC_TEST.format(marker=f"import pytest\n    has_trio = {has_trio}\n    {marker}")
    suite.makepyfile(source + fixture)
    run(suite, "-p", "no:asyncio").assert_outcomes(passed=2 if has_trio else 1)


def test_it_works_in_plain_tests_without_other_plugins(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        from flow import doubling

        def test_plain(turbine_topics, turbine_app, turbine_worker):
            numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
            turbine_worker(doubling(turbine_app(), numbers, doubles)).wait()
            numbers.put(1, 2).wait()
            doubles.expect([2, 4], order="any").wait()
        """
    )
    run(suite, "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider").assert_outcomes(
        passed=1
    )


@pytest.mark.timeout(180)
@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist")
def test_it_works_in_parallel(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        from flow import doubling

        @pytest.mark.parametrize("n", range(4))
        async def test_async(n, turbine_topics, turbine_app, turbine_worker):
            numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
            await turbine_worker(doubling(turbine_app(), numbers, doubles))
            await numbers.put(n)
            await doubles.expect([2 * n])
        """
    )
    run(suite, "-n", "2").assert_outcomes(passed=4)


def test_nothing_is_imported_before_a_fixture_is_used(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import sys

        def test_nothing_is_there():
            loaded = {name for name in sys.modules if name.startswith(("turbine", "pyarrow"))}
            of_plugin = {"turbine.testing", "turbine.testing.plugin"}
            assert loaded == {"turbine", "turbine._lazy"} | of_plugin
        """
    )
    run(suite).assert_outcomes(passed=1)


MISTAKES = {
    "numbers.put(1)": "*put(...) was never waited for, so it did nothing: write 'await'*",
    "await numbers.put(1); await doubles.expect([2], timeout=0.1)": (
        "*no worker has been started: write await turbine_worker(app)*"
    ),
    "turbine_worker(app); await doubles.expect([2], timeout=0.1)": (
        "*the worker was never waited for: write await turbine_worker(app)*"
    ),
    "await turbine_worker(app); await doubles.expect([2], timeout=0.1)": (
        "*nothing was put into numbers-*, which the app reads*"
    ),
    "await turbine_worker(app); await numbers.put(1); await doubles.expect(['2'])": (
        "*differ in type: declare the topic with the type of the values*"
    ),
    "await turbine_worker(app); await numbers.put({}); await doubles.expect([2])": (
        "*a partition of worker-* has stopped: *TypeError: unsupported operand*"
    ),
    "await turbine_worker(turbine_app())": (
        "*the app has no agent, subscription or timer: declare them before*"
    ),
    "await turbine_worker(numbers)": "*give it the app: app = turbine_app()*",
    "turbine_topics(app)": "*write a name: orders = turbine_topics('orders')*",
    "await doubles.put('text'); doubles.value_type = int; await doubles.expect([1])": (
        "*a record does not fit the type of the topic: b'\"text\"' is not int*"
    ),
    "w = await turbine_worker(app); w.kill(); w.pause()": (
        "*worker-* is killed: only a running worker can be paused*"
    ),
}
"""What a newcomer writes, and what is said."""


def test_what_a_newcomer_forgets_is_said(suite: pytest.Pytester) -> None:
    tests = [
        f"""
async def test_{number}(turbine_topics, turbine_app, turbine_worker):
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    app = turbine_app()
    app.agent(numbers, sink=[doubles])(double)
    {body}
"""
        for number, body in enumerate(MISTAKES)
    ]
    double = """
async def double(stream):
    async for number in stream:
        yield number * 2 - 0
"""
    suite.makepyfile(double + "\n".join(tests))
    result = run(suite)
    result.assert_outcomes(failed=len(MISTAKES))
    result.stdout.fnmatch_lines_random(list(MISTAKES.values()))


LEFTOVERS = {
    "asyncio.create_task(asyncio.sleep(60), name='lost')": "*the task lost *goes on after*",
    "threading.Thread(target=time.sleep, args=(9,), name='stray', daemon=False).start()": (
        "*the test left a thread behind: stray*"
    ),
    "logging.getLogger('turbine.mine').error('broken')": "*error was logged: *mine: broken*",
    "asyncio.get_running_loop().call_soon(int, 'x')": "*asyncio: Exception in callback*",
    "worker.expect_error('nothing such')": "*expect_error('nothing such'): no such error*",
    "raise ValueError('no credit')": "*an error was logged: *ValueError: no credit*",
}
"""What an agent does, and what the test that ran it is told."""


def test_what_a_test_leaves_behind_fails_it(suite: pytest.Pytester) -> None:
    tests = [
        f"""
async def test_{number}(turbine_topics, turbine_app, turbine_worker):
    numbers = turbine_topics("numbers", partitions=1)
    app = turbine_app()

    @app.agent(numbers)
    async def handle(stream):
        async for number in stream:
            {body}

    worker = await turbine_worker(app)
    await numbers.put(1)
    await worker.idle()
"""
        for number, body in enumerate(LEFTOVERS)
    ]
    suite.makepyfile("import asyncio, logging, threading, time\n" + "\n".join(tests))
    result = run(suite)
    result.assert_outcomes(failed=len(LEFTOVERS))
    result.stdout.fnmatch_lines_random(list(LEFTOVERS.values()))


def test_without_a_kafka_its_tests_are_skipped_with_the_command(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.turbine_on("embedded", "kafka")
        def test_both(turbine_topics):
            turbine_topics("numbers")

        def test_fixture(kafka_broker):
            pass
        """
    )
    result = run(suite, "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*pytest --turbine-kafka=localhost:9092*"])


def test_a_broker_that_does_not_exist_is_refused(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.turbine_on("redpanda")
        def test_it(turbine_topics):
            pass
        """
    )
    result = run(suite)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*turbine_on('redpanda'): write 'embedded' or 'kafka'*"])


def test_the_plugin_is_an_entry_point_with_the_name_of_its_module() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = project["entry-points"]["pytest11"]
    assert entries == {"turbine.testing.plugin": "turbine.testing.plugin"}
    assert "turbine.testing.plugin" in sys.modules
    assert not any("pytest" in name for name in project["dependencies"])
