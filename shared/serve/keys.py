"""API keys: made here, shown once, and kept only as hashes.

    python -m shared.serve.keys add alice         prints the key, once
    python -m shared.serve.keys revoke alice      holds from the next request on, without a restart
    python -m shared.serve.keys list

A key is 256 random bits, so one plain SHA-256 hides it as well as any slow hash would: there is nothing to
guess. Every stored hash is compared, in constant time and to the end, so that how long a refusal takes
tells nothing about any key.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from shared.errors import ConfigError, WorkspaceError

DEFAULT_FILE = Path("api-keys.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_LONGEST_KEY = 200  # characters; a longer one is not worth its hash
_SCHEMA = 1


def key_hash(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode("utf-8")).hexdigest()


class KeyRing:
    """The keys of one file, read again whenever the file changes. A file that is gone or damaged admits nobody."""

    def __init__(self, path: Path) -> None:
        """Raises: ConfigError: the file is missing or damaged, or holds no key."""
        self.path = path
        self._seen = _fingerprint(path)
        self._hashes = {name: entry["sha256"] for name, entry in read_keys(path).items()}
        if not self._hashes:
            raise ConfigError(
                f"{path} holds no key; make one: python -m shared.serve.keys --file {path} add NAME"
            )

    def name_of(self, key: str) -> str | None:
        """Whose key this is; None when it is nobody's."""
        self._refresh()
        if len(key) > _LONGEST_KEY:
            return None
        given = key_hash(key)
        owner = None
        for name, stored in self._hashes.items():
            if hmac.compare_digest(stored, given):
                owner = name
        return owner

    def _refresh(self) -> None:
        now = _fingerprint(self.path)
        if now != self._seen:
            self._seen = now
            try:
                self._hashes = {name: entry["sha256"] for name, entry in read_keys(self.path).items()}
            except ConfigError:
                self._hashes = {}


def read_keys(path: Path) -> dict[str, dict[str, str]]:
    """Name to {sha256, created}.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        keys = content["keys"]
        if content["schema"] != _SCHEMA or not all(
            re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in keys.values()
        ):
            raise ValueError("an entry is no SHA-256, or the schema is another")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key file {path}; make it: python -m shared.serve.keys --file {path} add NAME"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"the key file {path} cannot be read ({error!r}); remove it and add keys again"
        ) from error
    return keys


def add_key(path: Path, name: str) -> str:
    """A new key under a name; only its hash is kept, so this is the one time it can be read.

    Raises:
        ConfigError: a name that is taken or unfit.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a key: use letters, digits, '.', '_' and '-', at most 50")
    key = f"lm_{secrets.token_urlsafe(32)}"
    with FileLock(f"{path}.lock"):
        keys = read_keys(path) if path.exists() else {}
        if name in keys:
            raise ConfigError(f"{name!r} has a key in {path} since {keys[name]['created']}; revoke it first")
        keys[name] = {"sha256": key_hash(key), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        _replace(path, keys)
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a key away.

    Raises:
        ConfigError: nobody has a key under that name.
    """
    with FileLock(f"{path}.lock"):
        keys = read_keys(path)
        if name not in keys:
            raise ConfigError(
                f"{path} has no key called {name!r}; it has: {', '.join(sorted(keys)) or 'none'}"
            )
        del keys[name]
        _replace(path, keys)


def _replace(path: Path, keys: dict[str, dict[str, str]]) -> None:
    """Write all keys from one moment to the next, readable by their owner alone."""
    sibling = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(sibling, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"schema": _SCHEMA, "keys": keys}, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    sibling.replace(path)


def _fingerprint(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.serve.keys",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help=f"the key file ({DEFAULT_FILE})")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for command, about in (("add", "make a key and print it, once"), ("revoke", "take a key away")):
        commands.add_parser(command, help=about, description=about).add_argument(
            "name", help="whose key it is"
        )
    commands.add_parser("list", help="names and the days they were made", description="list the names")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "add":
            print(add_key(arguments.file, arguments.name))
            print(
                f"Keep it: {arguments.file} holds only its hash. Sent as  Authorization: Bearer KEY",
                file=sys.stderr,
            )
        elif arguments.command == "revoke":
            revoke_key(arguments.file, arguments.name)
            print(f"{arguments.name}: revoked; running servers refuse it from now on")
        else:
            for name, entry in sorted(read_keys(arguments.file).items()):
                print(f"{name}  {entry['created']}")
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
