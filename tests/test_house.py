"""Who may know whom, as `docs/house.md` draws it. Read from the source, so that an import inside a function counts."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "access",
    "audit",
    "book",
    "broker",
    "command_line",
    "demo",
    "health",
    "incident",
    "kills",
    "notary",
    "simulator",
    "telling",
)

# What each room may import of the others. `demo` starts processes and knows only names.
MAY_KNOW = {
    "audit": set(),
    "broker": set(),
    "simulator": set(),
    "access": {"audit"},
    "kills": {"broker", "audit"},
    "notary": {"audit"},
    "telling": {"kills", "audit"},
    "incident": {"kills", "audit", "broker"},
    "book": {"broker"},
    "health": {"kills", "book", "audit", "broker", "notary", "telling", "access"},
    "command_line": {"kills", "book", "audit", "broker"},
    "demo": {"access.role_names"},
    "orders_ui": {
        "incident",
        "kills",
        "book",
        "audit",
        "notary",
        "telling",
        "health",
        "access",
        "command_line.arguments",
    },
}
# Packages that are the business of one room alone.
BELONGS_TO = {
    "httpx": {"notary"},
    "aiohttp": {"broker", "simulator"},
    "yarl": {"broker"},
    "certifi": {"broker"},
    "cryptography": {"notary", "access"},
    "allauth": {"access", "orders_ui"},
    "boto3": {"notary"},
    "weasyprint": {"incident"},
    "apprise": {"telling"},
    "prometheus_client": {"health"},
}
WAYS_TO_WRITE_AN_ENTRY = ("Entry.objects.bulk_create", "Entry.objects.create", "{Entry._meta.db_table}")
KNOWS_NO_DJANGO = ("broker", "simulator", "demo")


def sources(room: str) -> list[Path]:
    folder = ROOT / room if room == "orders_ui" else ROOT / "killswitch" / room
    found = sorted(folder.rglob("*.py"))
    assert found, f"there is no room {room}"
    return found


def imports(path: Path) -> set[str]:
    """Return the absolute names of every module that a file imports."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def others(room: str, names: set[str]) -> set[str]:
    """Return what is imported of other rooms, as `room.module`."""
    inside = {name.removeprefix("killswitch.") for name in names if name.startswith("killswitch.")}
    inside |= {name for name in names if name.split(".")[0] == "orders_ui"}
    rooms = {name for name in inside if name.split(".")[0] in (*ROOMS, "orders_ui")}
    return {name for name in rooms if name.split(".")[0] != room}


def allowed(name: str, may_know: set[str]) -> bool:
    return any(name == known or name.startswith(known + ".") for known in may_know)


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_knows_only_whom_it_may(room: str) -> None:
    odd = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in others(room, imports(path))
        if not allowed(name, MAY_KNOW[room])
    }
    assert odd == set()


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_package_stays_in_its_room(room: str) -> None:
    odd = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imports(path)
        if room not in BELONGS_TO.get(name.split(".")[0], {room})
    }
    assert odd == set()


@pytest.mark.parametrize("room", KNOWS_NO_DJANGO)
def test_a_room_without_django_imports_none(room: str) -> None:
    odd = {path for path in sources(room) for name in imports(path) if name.split(".")[0] == "django"}
    assert odd == set()


def test_only_audit_writes_an_entry() -> None:
    writers = {
        path.relative_to(ROOT / "killswitch").parts[0]
        for path in (ROOT / "killswitch").rglob("*.py")
        if any(way in path.read_text() for way in WAYS_TO_WRITE_AN_ENTRY)
    }
    assert writers == {"audit"}


def test_every_room_is_in_the_table() -> None:
    folders = {path.parent.name for path in (ROOT / "killswitch").glob("*/__init__.py")}
    assert folders == set(ROOMS)
