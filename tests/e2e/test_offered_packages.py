"""`arena serve --wheels DIR`: guests install from the organizer's folder, and reach nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from arena.settings import SettingsError
from arena.web.wheels import check_wheels, list_packages
from tests.support.evening import Evening
from tests.support.server import ArenaServer, ask

pytestmark = pytest.mark.slow
PACKAGE = "verse_arena-0.1.0-py3-none-any.whl"
MIB = 2**20


def wheel(folder: Path, name: str = PACKAGE) -> Path:
    """A package that pip accepts."""
    project, version = name.split("-")[:2]
    info = f"{project}-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages, beside files that are none."""
    folder = tmp_path_factory.mktemp("home") / "wheels"
    folder.mkdir()
    wheel(folder)
    (folder / "torch-2.8.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl").write_bytes(b"x" * (4 * MIB))
    (folder / "tqdm-4.67.1.tar.gz").write_bytes(b"y" * 100)
    (folder / "notes.txt").write_text("private")
    (folder / ".hidden-1.0-py3-none-any.whl").write_text("private")
    (folder.parent / "secret-1.0-py3-none-any.whl").write_text("private")
    (folder / "linked-1.0-py3-none-any.whl").symlink_to(folder.parent / "secret-1.0-py3-none-any.whl")
    (folder / "inner-1.0-py3-none-any.whl").mkdir()
    return folder


@pytest.fixture(scope="module")
def port(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    evening = Evening(tmp_path_factory.mktemp("wheels") / "event", now=None).begin()
    server = ArenaServer(evening.folder, wheels=folder)
    yield server.port
    server.end()
    evening.end()


def test_pip_installs_from_the_line_on_the_page_and_asks_nobody_else(port: int, tmp_path: Path) -> None:
    page = ask(port, "GET /enter")[2].decode()
    line = page.split('<code class="break">')[1].split("</code>")[0].replace("&#34;", '"')
    base = f"http://127.0.0.1:{port}"
    assert line == f'python -m pip install --index-url {base}/wheels/ --trusted-host 127.0.0.1 "verse-arena[train]"'
    assert line in ask(port, "GET /")[2].decode().replace("&#34;", '"'), "also on the first page"
    words = ["download", "--isolated", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    words += ["--index-url", f"{base}/wheels/", "-d", str(tmp_path), "verse-arena"]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, timeout=120)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [PACKAGE]


def test_the_index_lists_packages_and_nothing_else_of_the_folder(port: int, folder: Path) -> None:
    assert [name for name, _ in list_packages(folder)] == ["torch", "tqdm", "verse-arena"]
    index = ask(port, "GET /wheels/")[2].decode()
    assert index.count("<a href") == 3 and '<a href="verse-arena/">' in index
    for name in ("verse-arena", "Verse_Arena", "verse.arena"):
        assert f'href="../files/{PACKAGE}"' in ask(port, f"GET /wheels/{name}/")[2].decode()
    status, headers, body = ask(port, "GET /wheels/files/torch-2.8.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl")
    assert (status, len(body)) == (200, 4 * MIB) and "attachment" in headers["content-disposition"]
    status, headers, body = ask(port, f"GET /wheels/files/{PACKAGE}\nRange: bytes=0-9")
    assert (status, len(body)) == (206, 10), "a download goes on where it stopped"


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".hidden-1.0-py3-none-any.whl",
        "linked-1.0-py3-none-any.whl",
        "inner-1.0-py3-none-any.whl",
        "secret-1.0-py3-none-any.whl",
        "../secret-1.0-py3-none-any.whl",
        "..%2fsecret-1.0-py3-none-any.whl",
        "%2e%2e%2fsecret-1.0-py3-none-any.whl",
        "..%5csecret-1.0-py3-none-any.whl",
        "....//secret-1.0-py3-none-any.whl",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        PACKAGE + "%00",
        PACKAGE + "/",
        "./" + PACKAGE,
        "C:%5cwindows",
    ],
)
def test_no_trick_with_a_path_reaches_another_file(port: int, name: str) -> None:
    status, _, body = ask(port, f"GET /wheels/files/{name}")
    assert status in (301, 308, 404) and b"private" not in body and b"root:" not in body, name
    status, _, body = ask(port, f"GET /wheels/{name}/")
    assert status in (301, 308, 404) and b"private" not in body, name


def test_a_server_without_packages_has_no_index_and_no_line(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").begin()
    assert evening.phone().get("/wheels/").status_code == 404
    assert "pip install" not in evening.phone().get("/enter").text
    evening.end()
    for path in (tmp_path / "none", tmp_path / "event"):
        with pytest.raises(SettingsError, match="holds no packages"):
            check_wheels(path)
