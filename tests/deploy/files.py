"""What Dockerfile and compose.yaml say, read as their tools read them as far as these files go."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


@dataclass(frozen=True)
class Instruction:
    """One line of a Dockerfile; lines that end with a backslash are one."""

    name: str
    text: str

    @property
    def command(self) -> list[str]:
        """Return the words of a RUN, CMD or HEALTHCHECK. Raises ValueError where it would go through a shell."""
        words = self.text.partition("CMD ")[2] if self.name == "HEALTHCHECK" else self.text
        command: list[str] = json.loads(words)
        return command


def stages() -> list[list[Instruction]]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, rest.strip()))
    return found


def image_environment() -> dict[str, str]:
    """Return what the last stage sets."""
    texts = [each.text for each in stages()[-1] if each.name == "ENV"]
    return dict(pair.split("=", 1) for text in texts for pair in shlex.split(text))


def environment_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def health_command(service: dict[str, Any]) -> list[str]:
    """Return what a health check runs, as Compose hands it over: $$ is $."""
    kind, *words = [word.replace("$$", "$") for word in service["healthcheck"]["test"]]
    return words if kind == "CMD" else ["sh", "-c", *words]
