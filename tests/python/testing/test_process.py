"""Workers of the test kit in processes of their own."""

from pathlib import Path

import pytest

from turbine.testing import MakeProcess, MakeTopic

SOURCE = """
import asyncio, os
import turbine

app = turbine.App(os.environ["APP_ID"])


@app.agent(os.environ["NUMBERS"], sink=[os.environ["DOUBLES"]])
async def double(stream):
    async for number in stream:
        await asyncio.sleep(0.005)
        print("doubling", number, flush=True)
        yield number * 2
"""


@pytest.mark.turbine_on("embedded")
async def test_a_process_is_killed_and_another_one_takes_over(
    turbine_topics: MakeTopic, turbine_process: MakeProcess, tmp_path: Path, app_id: str
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    (tmp_path / "doubling.py").write_text(SOURCE, encoding="utf-8")
    program = f"{tmp_path / 'doubling.py'}"
    env = {"APP_ID": app_id, "NUMBERS": numbers, "DOUBLES": doubles}

    first = await turbine_process(program, env=env)
    assert {row["topic"] for row in first.assignments()} == {numbers.name}
    await numbers.put(*range(100))
    await first.says("doubling")
    first.kill()
    assert not first.is_alive
    assert len(doubles.records()) < 100, "it was killed in the middle"

    second = await turbine_process(program, env=env)
    await doubles.expect([2 * n for n in range(100)], order="any", repeats=True)
    second.pause()
    await numbers.put(1_000)
    assert doubles.records()[-1].value != 2_000
    second.resume()
    await doubles.expect([2_000], repeats=True)
    assert await second.stop() == 0


@pytest.mark.turbine_on("embedded")
async def test_a_process_that_cannot_start_shows_its_output(
    turbine_topics: MakeTopic, turbine_process: MakeProcess
) -> None:
    turbine_topics("numbers")
    with pytest.raises(RuntimeError, match=r"ended with 1:\n(.|\n)*no_such_module"):
        await turbine_process("no_such_module:app")
