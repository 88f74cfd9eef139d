"""PostgreSQL's own programs, found on the path or among Debian's versioned ones, run with the subject's environment."""

import glob
import os
import shutil
import subprocess

GUARD_S = 120


def find(name):
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; run tests/clients/setup")
    return found


def run(name, *arguments, text="", environment=None):
    """Runs a program to its end. Returns exit code, standard output and standard error."""
    done = subprocess.run(
        [find(name), *arguments], input=text, capture_output=True, text=True, timeout=GUARD_S, check=False,
        env=os.environ | {"PGCLIENTENCODING": "UTF8", "PGAPPNAME": name} | (environment or {}),
    )
    return done.returncode, done.stdout, done.stderr


def well(name, *arguments, text="", environment=None):
    """Runs a program that must succeed; its standard output."""
    code, output, errors = run(name, *arguments, text=text, environment=environment)
    if code != 0:
        raise AssertionError(f"{name} ended with {code}: {errors[-2000:]}")
    return output
