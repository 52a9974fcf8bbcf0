"""Which of Faust's tests are run: what ``tests.toml`` says."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lists:
    """
    Attributes:
        run: Reasons by the name of a test that is left out, by file.
        left_out: Reasons by file or folder.
        absent: Names that the files import and that Turbine does not have, by module.
    """  # noqa: D205 - a table of attributes

    run: dict[str, dict[str, str]]
    left_out: dict[str, str]
    absent: dict[str, list[str]]

    @classmethod
    def load(cls, path: Path) -> "Lists":
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(data["run"], data["left_out"], data.get("absent", {}))

    @property
    def files(self) -> list[str]:
        return sorted(self.run)

    def reason(self, file: str, test: str) -> str | None:
        """Say why *test*, as in ``Test_X::test_y[case]``, is left out; None: it is run."""
        for name, why in self.run[file].items():
            if test == name or test.startswith((f"{name}[", f"{name}::")):
                return why
        return None

    def reasons(self, folder: Path) -> str:
        """List what is left out; complain of files that nobody has decided on."""
        lines = [f"{path}: {why}" for path, why in sorted(self.left_out.items())]
        lines += [
            f"{file}::{test}: {why}" for file in self.files for test, why in self.run[file].items()
        ]
        for path in sorted(folder.glob("tests/**/test_*.py")):
            name = path.relative_to(folder).as_posix()
            if name not in self.run and not any(name.startswith(one) for one in self.left_out):
                lines.append(f"{name}: NOT DECIDED: put it into tests.toml")
        return "\n".join(lines)
