"""The import rule and other bans, read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "nextcart"
FILES = sorted(SOURCE.rglob("*.py"))

ROOMS = (
    ("types", "errors", "config", "disk"),
    ("kernels", "client"),
    ("events",),
    ("models",),
    ("evaluation",),
    ("repository",),
    ("serving",),
    ("monitoring",),
    ("pipeline",),
    ("cli", "console"),
)
"""In the order of the data's way: a room imports from itself and from rooms before it."""

RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """The dotted name of every module that a file imports, within functions and type-checking blocks too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: imports are absolute"
            if node.module == "nextcart":
                yield from (f"nextcart.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def rooms_imported(file: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(file) if name.startswith("nextcart.")}


def named(file: Path) -> str:
    return str(file.relative_to(SOURCE))


IN_ROOMS = [file for file in FILES if room_of(file) not in ("__init__", "__main__")]


def test_every_file_is_in_a_room_that_is_known():
    assert len(IN_ROOMS) > 20
    assert {room_of(file) for file in IN_ROOMS} <= RANK.keys()


@pytest.mark.parametrize("file", IN_ROOMS, ids=named)
def test_a_room_imports_only_itself_and_rooms_before_it(file):
    room = room_of(file)
    later = {other for other in rooms_imported(file) if other != room and RANK[other] >= RANK[room]}
    allowed = {"config": {"errors"}}.get(room, set())
    assert later - allowed == set()


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) == "kernels"], ids=named)
def test_kernels_import_nothing_but_numpy_numba_and_types(file):
    others = {name for name in imports(file) if not name.startswith("nextcart.")}
    assert others <= {"__future__", "math", "numpy", "numba", "typing"}
    assert rooms_imported(file) <= {"types", "kernels"}


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) == "client"], ids=named)
def test_the_client_needs_nothing_of_the_service(file):
    assert rooms_imported(file) <= {"types", "errors", "client"}


@pytest.mark.parametrize("file", FILES, ids=named)
def test_what_is_banned_everywhere(file):
    assert not {name.split(".")[0] for name in imports(file)} & {"pickle", "dill", "joblib", "marshal", "shelve"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "print", "__import__"), f"line {node.lineno}"
            for keyword in node.keywords:
                pickles = keyword.arg == "allow_pickle" and getattr(keyword.value, "value", True) is not False
                assert not pickles, f"line {node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: an except names what it catches"


@pytest.mark.parametrize("call", ["np.load(", "np.save("])
def test_arrays_are_read_and_written_without_pickle(call):
    lines = [line for file in FILES for line in file.read_text(encoding="utf-8").splitlines() if call in line]
    assert lines
    assert all("allow_pickle=False" in line for line in lines)


@pytest.mark.parametrize("file", FILES, ids=named)
def test_modules_are_small_and_say_what_they_are_for(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text))


def test_no_room_is_called_for_everything():
    assert not [file for file in FILES if file.stem in ("utils", "helpers", "common", "misc")]
