"""One JSON line for each case of a suite, and values written so that two runs can be compared.

A case is a function; what it returns is its observable result. It fails by raising. The runner compares the
results of a direct run with those through the ring, so nothing that changes from run to run may be returned
(process ids, OIDs, times of day, random names).
"""

import asyncio
import dataclasses
import datetime
import decimal
import enum
import hashlib
import inspect
import ipaddress
import json
import os
import signal
import sys
import time
import traceback
import uuid
from urllib.parse import parse_qs, unquote, urlsplit

# A guard against a case that hangs, never a measure: a case that is well takes a fraction of it.
CASE_GUARD_S = 120
# Longer binary or text values are reported by length and hash.
LONG_VALUE = 4000

_cases = []


@dataclasses.dataclass(frozen=True)
class Subject:
    """The server under test, as the runner names it."""

    url: str
    host: str
    port: int
    user: str
    password: str
    database: str
    tls: bool
    schema: str

    def with_(self, **changes):
        """The same server with another user, password, database or TLS choice."""
        return dataclasses.replace(self, **changes)

    @property
    def sslmode(self):
        return "require" if self.tls else "disable"

    def keywords(self):
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            "sslmode": self.sslmode,
        }


def subject():
    url = os.environ["POSTERN_TEST_URL"]
    parts = urlsplit(url)
    mode = parse_qs(parts.query).get("sslmode", ["require"])[0]
    return Subject(
        url=url,
        host=parts.hostname,
        port=parts.port or 5432,
        user=unquote(parts.username),
        password=unquote(parts.password),
        database=parts.path.lstrip("/"),
        tls=mode != "disable",
        schema=os.environ["POSTERN_TEST_SCHEMA"],
    )


def case(name, skip=None):
    """Registers a function as a case. `skip` is a reason, or None to run it."""

    def register(function):
        _cases.append((name, function, skip))
        return function

    return register


def plain(value):
    """Turns a value into JSON that keeps its type: 1, 1.0, Decimal('1') and '1' all come out different."""
    if value is None or isinstance(value, (bool, int)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, str):
        return value if len(value) <= LONG_VALUE else {"str": len(value), "sha256": _sha256(value.encode())}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        return {"bytes": raw.hex()} if len(raw) <= LONG_VALUE else {"bytes": len(raw), "sha256": _sha256(raw)}
    if isinstance(value, datetime.timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return {type(value).__name__: value.isoformat()}
    if isinstance(value, (uuid.UUID, ipaddress._IPAddressBase)):
        return {type(value).__name__: str(value)}
    if isinstance(value, enum.Enum):
        return {"enum": value.name}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    return {type(value).__name__: str(value)}


def _sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def digest(items):
    """A hash over many values, for results too big to print."""
    hasher = hashlib.sha256()
    for item in items:
        hasher.update(item if isinstance(item, bytes) else repr(item).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()


class Hung(Exception):
    """A case did not end within the guard."""


def _alarm(_signal, _frame):
    raise Hung(f"no end within {CASE_GUARD_S} s")


def _emit(line):
    sys.stdout.write(json.dumps(line, ensure_ascii=True, sort_keys=True) + "\n")
    sys.stdout.flush()


def _since(began):
    """For whoever wonders what takes so long; nothing is compared with it."""
    return round(time.monotonic() - began, 2)


def _run(function, arguments):
    if inspect.iscoroutinefunction(function):
        async def guarded():
            return await asyncio.wait_for(function(*arguments), CASE_GUARD_S)

        return asyncio.run(guarded())
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(CASE_GUARD_S)
    try:
        return function(*arguments)
    finally:
        signal.alarm(0)


def main(*arguments):
    """Runs every registered case in order and prints its line. The exit code says only that all were tried."""
    only = sys.argv[1:]
    for name, function, skip in _cases:
        if only and name not in only:
            continue
        if skip:
            _emit({"case": name, "ok": True, "skipped": skip})
            continue
        began = time.monotonic()
        try:
            result = plain(_run(function, arguments))
        except Exception as error:  # a failed case is a result, not the end of the suite
            text = "".join(traceback.format_exception(error))[-3000:]
            _emit({"case": name, "ok": False, "result": f"{type(error).__name__}: {error}", "trace": text, "seconds": _since(began)})
        else:
            _emit({"case": name, "ok": True, "result": result, "seconds": _since(began)})
