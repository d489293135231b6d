"""Check docker-compose.yml: by Docker's own parser where it is installed, and always for what we promise of it."""

import shutil
import subprocess
import sys
from collections import Counter
from typing import Any

import yaml

from settings import PROJECT_DIR

FILE = PROJECT_DIR / "docker-compose.yml"


def problems(document: dict[str, Any]) -> list[str]:
    """Return what breaks our promises: an unpinned image, one built twice or never, an open port, a missing name."""
    services = document["services"]
    built = Counter(service.get("image", "") for service in services.values() if "build" in service)
    found = [f"{image} is built by {count} services at once" for image, count in built.items() if image and count > 1]
    for name, service in services.items():
        image = service.get("image", "")
        if not image or image.endswith(":latest") or ":" not in image:
            found.append(f"{name}: image {image!r} is not pinned")
        if image.endswith(":local") and image not in built:
            found.append(f"{name}: image {image} is built by no service")
        found += [f"{name}: port {port} is open to other machines" for port in _ports(service) if not _loopback(port)]
        found += [
            f"{name}: depends on unknown {other}" for other in service.get("depends_on", {}) if other not in services
        ]
        for volume in service.get("volumes", []):
            source = volume.split(":", 1)[0]
            if source.startswith("./") and not (PROJECT_DIR / source).exists():
                found.append(f"{name}: {source} does not exist")
            elif not source.startswith("./") and source not in document["volumes"]:
                found.append(f"{name}: volume {source} is not declared")
    return found


def docker_says() -> str | None:
    """Return Docker's complaint, or None when it accepts the file or has no compose here."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return None
    done = subprocess.run(
        [docker, "compose", "-f", str(FILE), "config", "--quiet"], capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else None


def main() -> int:
    """Print each problem; 1 when there is one."""
    found = problems(yaml.safe_load(FILE.read_text()))
    complaint = docker_says()
    for line in [*found, *([complaint] if complaint else [])]:
        print(f"docker-compose.yml: {line}", file=sys.stderr)
    return 1 if found or complaint else 0


def _ports(service: dict[str, Any]) -> list[str]:
    return [str(port) for port in service.get("ports", [])]


def _loopback(port: str) -> bool:
    return port.startswith("127.0.0.1:")


if __name__ == "__main__":
    sys.exit(main())
