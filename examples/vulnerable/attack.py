"""Runs sqlmap against the page, once straight to the database and once through Postern, and compares.

    python attack.py RING_URL DIRECT_URL --sqlmap DIRECTORY [--seconds 600] [--level 5] [--risk 3]

Exits with 1 unless the attack succeeds straight, extracts nothing through Postern, and the page works in both cases.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
TARGETS = [("/product?id=1", "id"), ("/search?name=Lamp%207", "name"), ("/sign-in?email=user1@tenant2.example", "email")]
# What the page shows to everybody, by path.
ORDINARY = {
    "/product?id=7": "Lamp 7",
    "/search?name=Chair%2015": "Chair 15",
    "/sign-in?email=user1@tenant2.example": "1 found",
    "/sign-in?email=user100@tenant1.example": "0 found",
    # A quote as an honest user would type it, escaped as the page expects it.
    "/search?name=O''Brien": "0 found",
}


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


class Page:
    """The application in a process of its own."""

    def __init__(self, url):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "app.py"), url, "0"], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline().split()[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def counts(self):
        return json.loads(get(self.port, "/counts"))


def secrets(direct):
    """Values that the page never shows, so that whatever has one was extracted."""
    with psycopg.connect(direct) as connection:
        cards = connection.execute("SELECT card_number FROM shop.customers").fetchall()
        names = connection.execute("SELECT email FROM shop.users WHERE id > 1").fetchall()
    return {value for (value,) in cards + names}


def sqlmap(arguments, port, path, parameter, output, seconds):
    """One run. Gives back its log, and whether it came to its end."""
    command = [
        sys.executable, str(Path(arguments.sqlmap).resolve() / "sqlmap" / "sqlmap.py"),
        "-u", f"http://127.0.0.1:{port}{path}", "-p", parameter,
        "--level", str(arguments.level), "--risk", str(arguments.risk),
        "--batch", "--flush-session", "--disable-coloring", "--threads", "4", "--time-sec", "1",
        "--output-dir", str(output), "-D", "shop", "-T", "customers", "-C", "id,card_number",
        "--dump", "--start", "1", "--stop", "3", "--current-user",
    ]
    if arguments.technique:
        command += ["--technique", arguments.technique]
    if arguments.dbms:
        command += ["--dbms", arguments.dbms]
    # A home of its own, so that nothing is left in the user's.
    environment = dict(os.environ, HOME=str(output), PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            timeout=seconds, env=environment, cwd=output, errors="replace",
        )
        return done.stdout, True
    except subprocess.TimeoutExpired as late:
        text = late.stdout or b""
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text, False


def attack(side, url, hidden, arguments):
    with Page(url) as page, tempfile.TemporaryDirectory() as folder:
        wrong = [path for path, wanted in ORDINARY.items() if wanted not in get(page.port, path)]
        print(f"{side}: the page works" if not wrong else f"{side}: these pages don't work: {wrong}")
        extracted, rows = set(), []
        for number, (path, parameter) in enumerate(TARGETS[: arguments.targets]):
            before = page.counts()
            begun = time.monotonic()
            output = Path(folder) / str(number)
            output.mkdir()
            log, finished = sqlmap(arguments, page.port, path, parameter, output, arguments.seconds)
            if arguments.logs:
                Path(arguments.logs).mkdir(parents=True, exist_ok=True)
                (Path(arguments.logs) / f"{side}-{parameter}.log").write_text(log)
            files = [file.read_text(errors="replace") for file in output.rglob("*.csv")]
            everything = "\n".join([log, *files])
            found = {value for value in hidden if value in everything}
            extracted |= found
            techniques = re.findall(r"^\s+Type: (.+)$", log, re.M)
            user = re.search(r"current user: '?([^'\n]+)", log)
            after = page.counts()
            rows.append((
                f"{path.split('?')[0]} {parameter}",
                ", ".join(dict.fromkeys(techniques)) or "none",
                user.group(1) if user else "-",
                len(found),
                *[after[what] - before[what] for what in ("answered", "refused", "failed")],
                f"{time.monotonic() - begun:.0f} s" + ("" if finished else ", stopped"),
            ))
        still = [path for path, wanted in ORDINARY.items() if wanted not in get(page.port, path)]
    return {"side": side, "rows": rows, "extracted": extracted, "broken": wrong + still}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ring")
    parser.add_argument("direct")
    parser.add_argument("--sqlmap", required=True, help="where the package sqlmap was installed to")
    parser.add_argument("--level", type=int, default=5)
    parser.add_argument("--risk", type=int, default=3)
    parser.add_argument("--technique", help="only these, as in sqlmap; default: all")
    parser.add_argument("--dbms", help="tell sqlmap what it would find out; default: let it try them all")
    parser.add_argument("--seconds", type=float, default=900, help="longest run of sqlmap on one page")
    parser.add_argument("--targets", type=int, default=len(TARGETS), help="how many of the three pages")
    parser.add_argument("--logs", help="a directory for sqlmap's own logs")
    arguments = parser.parse_args()
    hidden = secrets(arguments.direct)
    results = [
        attack("straight", arguments.direct, hidden, arguments),
        attack("postern", arguments.ring, hidden, arguments),
    ]
    heads = ("page", "injectable by", "user", "secrets", "answered", "refused", "failed", "time")
    for result in results:
        print(f"\n{result['side']}")
        table = [heads, *[tuple(str(cell) for cell in row) for row in result["rows"]]]
        widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
        for row in table:
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    straight, postern = results
    verdict = {
        "straight, secrets were extracted": bool(straight["extracted"]),
        "through Postern, nothing was extracted": not postern["extracted"],
        "through Postern, sqlmap found no way in": all(row[1] == "none" for row in postern["rows"]),
        "the page works, straight and through Postern": not straight["broken"] and not postern["broken"],
    }
    print()
    for sentence, holds in verdict.items():
        print(f"{'yes' if holds else 'NO '}  {sentence}")
    return 0 if all(verdict.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
