"""Fetch the servers through Maven, Go and uv into the cache, each verified and put in place whole or not at all."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from errors import LakehouseError
from infra.native.fetching.servers import SERVERS, GoBinary, Jars, PackedInJar, PythonEnvironment, Server, Tarball
from infra.native.machine.programs import go_program, maven_program
from infra.native.paths import FETCHING, cache_dir

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
Say = Callable[[str], None]


class FetchError(LakehouseError):
    """A server could not be fetched, or is not what its lock says."""


def folder(server: Server) -> Path:
    """Return the place of a fetched server; it exists only when the fetch was complete and verified."""
    return cache_dir() / f"{server.name}-{server.version}-{_contents(server)[:8]}"


def missing(servers: Sequence[Server] = SERVERS) -> list[Server]:
    """Return the servers that are not in the cache."""
    return [server for server in servers if not folder(server).is_dir()]


def fetch_all(say: Callable[[Server, str], None], servers: Sequence[Server] = SERVERS) -> None:
    """Fetch what is missing, three at a time (MinIO's build and two downloads), telling each step to `say`.

    Raises FetchError naming each server that failed; the others are kept.
    """
    cache_dir().mkdir(parents=True, exist_ok=True)
    with _one_fetch_at_a_time(), ThreadPoolExecutor(max_workers=3) as pool:
        running = {pool.submit(_fetch, server, _speaker(say, server)): server for server in servers}
        failures = []
        for done in as_completed(running):
            error = done.exception()
            if error is not None:
                say(running[done], f"failed: {error}")
                failures.append(f"{running[done].name}: {error}")
    if failures:
        raise FetchError(
            "fetching the servers failed; run `make fetch` again, it keeps what it has.\n" + "\n".join(failures)
        )


def _speaker(say: Callable[[Server, str], None], server: Server) -> Say:
    return lambda text: say(server, text)


def _fetch(server: Server, say: Say) -> None:
    place = folder(server)
    if place.is_dir():
        say(f"in the cache ({_megabytes(place)} MB)")
        return
    started = time.monotonic()
    partial = cache_dir() / f".partial-{place.name}"
    out = partial / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    match server.source:
        case Jars() as source:
            say(f"downloading about {server.megabytes} MB of jars")
            _maven(
                "copy-dependencies",
                partial,
                "-f",
                str(FETCHING / "poms" / source.pom),
                "-DincludeScope=runtime",
                f"-DoutputDirectory={out}",
                *source.options,
            )
            say("verifying")
            _verify(server, out)
        case Tarball() as source:
            say(f"downloading {server.megabytes} MB")
            _maven("get", partial, f"-Dartifact={source.coordinates}", "-Dtransitive=false")
            packed = _in_local_repository(partial / "m2", source.coordinates)
            say("verifying")
            _verify(server, packed.parent, only=packed.name)
            say("unpacking")
            _unpack(packed, source, partial / "all", out)
        case PackedInJar() as source:
            say(f"downloading {server.megabytes} MB")
            coordinates = source.coordinates()
            _maven("get", partial, f"-Dartifact={coordinates}", "-Dtransitive=false")
            packed = _in_local_repository(partial / "m2", coordinates)
            say("verifying")
            _verify(server, packed.parent, only=packed.name)
            say("unpacking")
            _unpack_jar(packed, out)
        case GoBinary() as source:
            say(f"building from about {server.megabytes} MB of source: the longest step, four minutes or so")
            _build(source, out)
        case PythonEnvironment() as source:
            say(f"installing about {server.megabytes} MB of Python packages")
            _install(source, out)
    # The rename is the moment from which the server counts as fetched.
    out.rename(place)
    shutil.rmtree(partial, ignore_errors=True)
    say(f"fetched in {time.monotonic() - started:.0f} s ({_megabytes(place)} MB)")


def _maven(goal: str, partial: Path, *arguments: str) -> None:
    _run(
        [
            maven_program(),
            "-q",
            "-B",
            "--strict-checksums",
            f"-Dmaven.repo.local={partial / 'm2'}",
            f"{DEPENDENCY_PLUGIN}:{goal}",
            *arguments,
        ],
        cwd=partial,
    )


def _build(source: GoBinary, out: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "auto"}
    name = source.package.rsplit("/", 1)[1]
    _run([go_program(), "build", "-trimpath", "-o", str(out / name), source.package], source.folder, environment)


def _install(source: PythonEnvironment, out: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    # Relocatable, for it is moved into its place when it is whole.
    _run(
        [uv, "venv", "--quiet", "--relocatable", "--allow-existing", "--python", source.pythons.for_uv, str(out)],
        out.parent,
    )
    _run(
        [
            uv,
            "pip",
            "sync",
            "--quiet",
            "--compile-bytecode",
            "--require-hashes",
            "--python",
            str(out / "bin" / "python"),
            str(source.requirements),
        ],
        out.parent,
    )


def _run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        raise FetchError(f"`{' '.join(command[:2])} ...` ended with {done.returncode}:\n{tail}")


def _in_local_repository(repository: Path, coordinates: str) -> Path:
    group, artifact, version, kind, *classifier = coordinates.split(":")
    name = "-".join([artifact, version, *classifier])
    return repository / Path(*group.split(".")) / artifact / version / f"{name}.{kind}"


def _unpack(packed: Path, source: Tarball, everything: Path, out: Path) -> None:
    # All of it: the tarballs share files between folders by hard links, so a part alone would miss some.
    shutil.rmtree(everything, ignore_errors=True)
    everything.mkdir()
    _run(["tar", "xzf", str(packed), "-C", str(everything)], everything)
    top = list(everything.iterdir())
    root = top[0] if len(top) == 1 and top[0].is_dir() else everything
    for part in source.keep or [child.name for child in root.iterdir()]:
        target = out / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (root / part).rename(target)
    for part in source.drop:
        if (out / part).is_dir():
            shutil.rmtree(out / part)
        else:
            (out / part).unlink()


def _unpack_jar(packed: Path, out: Path) -> None:
    with zipfile.ZipFile(packed) as jar:
        name = next(name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(name) as inner, tarfile.open(fileobj=inner, mode="r:xz") as files:
            files.extractall(out, filter="data")


def _verify(server: Server, directory: Path, only: str | None = None) -> None:
    pairs = (line.split() for line in server.lock.read_text().splitlines() if line.strip())
    expected = {name: digest for digest, name in pairs if only in {None, name}}
    found = {
        path.name: _sha256(path)
        for path in directory.iterdir()
        if path.is_file() and (only is None or path.name == only)
    }
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise FetchError(
            f"{len(wrong)} files differ from {server.lock.name}: {', '.join(wrong[:5])}; nothing was kept. "
            "If the change is meant, write the lock anew with `python -m infra.native lock`."
        )


def write_lock(server: Server) -> int:
    """Write a server's lock from what its sources give now; returns the number of files. For maintainers."""
    partial = cache_dir() / f".lock-{server.name}"
    out = partial / "out"
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(server.source, Jars):
        pom = str(FETCHING / "poms" / server.source.pom)
        options = server.source.options
        _maven("copy-dependencies", partial, "-f", pom, "-DincludeScope=runtime", f"-DoutputDirectory={out}", *options)
        files = sorted(out.iterdir())
    elif isinstance(server.source, Tarball):
        _maven("get", partial, f"-Dartifact={server.source.coordinates}", "-Dtransitive=false")
        files = [_in_local_repository(partial / "m2", server.source.coordinates)]
    elif isinstance(server.source, PackedInJar):
        wanted = [server.source.coordinates(processor) for processor in server.source.processors]
        for coordinates in wanted:
            _maven("get", partial, f"-Dartifact={coordinates}", "-Dtransitive=false")
        files = [_in_local_repository(partial / "m2", coordinates) for coordinates in wanted]
    else:
        return 0
    server.lock.parent.mkdir(exist_ok=True)
    server.lock.write_text("".join(f"{_sha256(path)}  {path.name}\n" for path in files))
    shutil.rmtree(partial)
    return len(files)


def _contents(server: Server) -> str:
    """Return what changes with what the folder holds: its lock's digest, and of a tarball in part which parts."""
    if isinstance(server.source, Tarball) and server.source.keep:
        return hashlib.sha256(f"{_sha256(server.lock)} {server.source.keep} {server.source.drop}".encode()).hexdigest()
    return _sha256(server.lock)


def _sha256(path: Path) -> str:
    # Not hashlib.file_digest: doctor may run on a Python 3.10, which has none.
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _megabytes(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) // 1_000_000


@contextmanager
def _one_fetch_at_a_time() -> Iterator[None]:
    with (cache_dir() / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
