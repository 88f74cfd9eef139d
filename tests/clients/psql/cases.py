"""psql: scripts, backslash commands, copying, watching, interrupting."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import programs
import report
from report import case

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema

# Objects for the \d family. Names are plain, so that every listing can be compared as it is.
OBJECTS = f"""
set client_min_messages = error;
drop schema if exists {SCHEMA} cascade;
create schema {SCHEMA};
reset client_min_messages;
comment on schema {SCHEMA} is 'for the suite';
set search_path = {SCHEMA};
create type mood as enum ('sad', 'ok', 'happy');
create type pair as (n int, t text);
create domain small as int check (value < 10);
create table parent (id int primary key, name text not null unique, m mood default 'ok', note varchar(20) collate "C");
create table child (id bigint generated always as identity primary key, parent int not null references parent on delete cascade, n small, price numeric(10,2) check (price > 0), twice numeric generated always as (price * 2) stored);
create index child_parent on child (parent desc nulls last) where n > 3;
create table parted (id int, d date) partition by range (d);
create table parted_one partition of parted for values from ('2024-01-01') to ('2025-01-01');
create table parted_rest partition of parted default;
create table heir () inherits (parent);
create view seen as select p.name, count(*) as n from parent p join child c on c.parent = p.id group by p.name;
create materialized view kept as select * from parent;
create sequence counter start 10 increment 5;
create function twice(x int) returns int language sql immutable as 'select x * 2';
create procedure nothing() language plpgsql as $$ begin null; end $$;
create function touched() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger touch before update on parent for each row execute function touched();
create rule quiet as on delete to heir do instead nothing;
create statistics two_columns on id, name from parent;
alter table parent enable row level security;
create policy own on parent using (id > 0);
comment on table parent is 'the parents';
comment on column parent.name is 'their name';
grant select on parent to public;
insert into parent values (1, 'one', 'ok', null), (2, 'two', 'sad', 'Grüße');
insert into child (parent, n, price) values (1, 3, 9.99), (1, 4, 0.01), (2, 5, 100);
"""


def psql(text, *arguments, stop=True):
    """Runs a script from standard input in the suite's schema; code, output, errors."""
    flags = ["-X", "-q"] + (["-v", "ON_ERROR_STOP=1"] if stop else [])
    code, output, errors = programs.run("psql", *flags, *arguments, text=f"set search_path = {SCHEMA}, public;\n{text}")
    return {"code": code, "output": output, "errors": errors}


def well(text, *arguments):
    seen = psql(text, *arguments)
    assert seen["code"] == 0, seen
    return seen


@case("fresh schema")
def _():
    return programs.run("psql", "-X", "-v", "ON_ERROR_STOP=1", text=OBJECTS)


@case("tags without -q")
def _():
    return programs.run("psql", "-X", text="create temp table t (n int);\ninsert into t values (1),(2);\nupdate t set n = 3;\nbegin;\nrollback;\n")


DESCRIPTIONS = [
    r"\d", r"\d+", r"\d parent", r"\d+ parent", r"\d child", r"\d+ child", r"\d parted", r"\d+ parted", r"\d heir", r"\d seen", r"\d+ seen", r"\d+ kept", r"\d counter",
    r"\d child_parent", r"\d pair", r"\dt", r"\dt+ par*", r"\di", r"\dv", r"\dm", r"\ds", r"\dT", r"\dT+", r"\dD", r"\df", r"\df+ twice", r"\dn SCHEMA", r"\dn+ SCHEMA", r"\dp", r"\dd", r"\dX", r"\dP",
    r"\dy", r"\drds nobody", r"\dx", r"\dl", r"\do no_such", r"\da no_such", r"\dC no_such", r"\dF english", r"\dL", r"\db nowhere", r"\dg owner_of_nothing", r"\ddp shop", r"\dconfig work_mem",
    r"\d no_such_table", r"\d public.*_no", r"\sf twice", r"\sf+ touched", r"\sv seen", r"\z parent", r"\encoding", r"\dA", r"\dO \"C\"",
]


@case("descriptions")
def _():
    seen = {}
    for command in DESCRIPTIONS:
        got = psql(command.replace("SCHEMA", SCHEMA) + "\n", stop=False)
        # Sizes on disk follow vacuum and fillfactor, not the driver.
        seen[command] = [got["code"], re.sub(r"\b\d+ (bytes|kB)\b", "SIZE", got["output"]), got["errors"]]
    return seen


@case("what psql asks the catalogue")
def _():
    got = well(r"\set ECHO_HIDDEN on" + "\n" + r"\d parent" + "\n")
    return re.sub(r"'\d+'", "'OID'", got["output"])


@case("list of databases holds ours")
def _():
    return any(line.split("|")[0] == SUBJECT.database for line in well("\\l\n", "-At")["output"].splitlines())


@case("output formats")
def _():
    query = "select id, name, m, note from parent order by id"
    seen = {form: well(f"\\pset format {form}\n{query};\n")["output"] for form in ("aligned", "unaligned", "wrapped", "html", "asciidoc", "latex", "csv")}
    seen["expanded"] = well(f"\\x\n{query};\n")["output"]
    seen["null"] = well(f"\\pset null 'nil'\n\\pset border 2\n\\pset tuples_only\n{query};\n")["output"]
    return seen


@case("null, long and wide values")
def _():
    return well("select null, '', 'Grüße, 世界 🌍', repeat('x', 5000), E'a\\nb\\tc', array[1,null], '{\"a\": 1}'::jsonb;\n")["output"]


@case("copy out and in by backslash")
def _():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rows.csv"
        seen = [well(f"\\copy (select * from parent order by id) to '{path}' with (format csv, header)\n"), path.read_text()]
        text = f"create temp table back (like parent);\n\\copy back from '{path}' with (format csv, header)\nselect * from back order by id;\n"
        seen.append(well(text))
        big = pathlib.Path(folder) / "big.txt"
        seen.append(well(f"\\copy (select n, md5(n::text) from generate_series(1, 100000) n) to '{big}'\ncreate temp table big (n int, t text);\n\\copy big from '{big}'\nselect count(*), sum(n), md5(string_agg(t, '' order by n)) from big;\n"))
        binary = pathlib.Path(folder) / "rows.bin"
        seen.append(well(f"\\copy parent to '{binary}' (format binary)\ncreate temp table back (like parent);\n\\copy back from '{binary}' (format binary)\ntable back;\n"))
        return seen


@case("copy that fails")
def _():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "bad.txt"
        path.write_text("1\tone\nx\ttwo\n")
        text = f"create temp table t (n int, t text);\n\\copy t from '{path}'\nselect count(*) from t;\n\\copy no_such from '{path}'\n\\copy t from '/nonexistent/file'\nselect 'after';\n"
        got = psql(text, stop=False)
        return [got["code"], got["output"], got["errors"].replace(folder, "FOLDER")]


@case("COPY FROM STDIN inside a script")
def _():
    return well("create temp table t (n int, t text);\ncopy t from stdin;\n1\tone\n2\t\\N\n\\.\nselect * from t;\ncopy t to stdout (format csv);\ncopy (select 1) to stdout \\g /dev/stdout\n")


@case("watch")
def _():
    # psql 15 has no count of its own, so the statement itself ends the watch: the third run divides by zero.
    got = psql("create temp sequence turn;\nselect 10 / (3 - nextval('turn')) as n \\watch 0.01\nselect 'after' as x;\n", stop=False)
    return [got["code"], re.sub(r"^.* \(every .*\)$", "HEADER", got["output"], flags=re.M), got["errors"]]


@case("gset, gexec, gdesc, gx, crosstab")
def _():
    return well(
        "select 7 as seven, 'x y' as words \\gset got_\n\\echo :got_seven :'got_words' :\"got_words\"\nselect :got_seven + 1;\n"
        "select format('select %s as made', n) from generate_series(1, 3) n \\gexec\n"
        "select 1 as a, 'x'::text as b, null::numeric(5,2) as c \\gdesc\nselect 1 as one, 2 as two \\gx\n"
        "select * from (values ('a', 'x', 1), ('b', 'y', 2)) v(r, c, n) \\crosstabview\nselect 5 \\g (format=csv)\n"
    )


@case("variables of the last statement")
def _():
    return psql(
        "select * from generate_series(1, 4);\n\\echo :ROW_COUNT :ERROR :SQLSTATE\nselect 1/0;\n\\echo :ROW_COUNT :ERROR :SQLSTATE :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE\n\\errverbose\n"
        .replace("\\errverbose\n", "\\echo :SERVER_VERSION_NUM :SERVER_VERSION_NAME :ENCODING :USER :DBNAME\n"), stop=False,
    )


@case("bind, where this psql has it")
def _():
    version = int(re.search(r"\d+", programs.well("psql", "--version"))[0])
    return well("select $1::int + $2::int as n \\bind 3 4 \\g\n") if version >= 16 else "this psql is older"


@case("conditions and loops")
def _():
    return well("select exists (select from parent) as there \\gset\n\\if :there\nselect 'yes';\n\\else\nselect 'no';\n\\endif\n")


@case("ON_ERROR_STOP")
def _():
    text = "select 'before';\nselect 1/0;\nselect 'after';\n"
    return [psql(text, stop=True), psql(text, stop=False)]


@case("ON_ERROR_ROLLBACK")
def _():
    return psql("\\set ON_ERROR_ROLLBACK on\nbegin;\ncreate temp table t (n int);\ninsert into t values (1);\nselect 1/0;\ninsert into t values (2);\ncommit;\ntable t;\n", stop=False)


@case("AUTOCOMMIT off")
def _():
    return psql("commit;\n\\set AUTOCOMMIT off\ncreate table never (n int);\nrollback;\nselect to_regclass('never');\nselect nope;\nselect 1;\nrollback;\nselect 2;\n", stop=False)


@case("one transaction with -1")
def _():
    good = psql("drop table if exists single;\ncreate table single (n int);\ninsert into single values (1);\n", "-1")
    bad = psql("insert into single values (2);\nselect nope;\n", "-1")
    return [good, bad, well("table single;\n")]


@case("several -c in one transaction")
def _():
    done = programs.run("psql", "-X", "-1", "-c", "create temp table t (n int)", "-c", "insert into t values (1); insert into t values (2)", "-c", "select sum(n) from t")
    return [done, programs.run("psql", "-X", "-At", "-c", "select 1; select 2; select 1/0; select 3")]


@case("errors with their marks")
def _():
    return psql("select * from parent wher id = 1;\nselect nme from parent;\nselect 1 +\n  no_such(2);\ninsert into parent values (1, 'one');\nselect 'open\n';\n\\no_such_command\n", stop=False)


@case("verbose errors")
def _():
    got = psql("\\set VERBOSITY verbose\ninsert into parent values (1, 'x');\n\\set VERBOSITY sqlstate\nselect 1/0;\n\\set VERBOSITY terse\nselect nope;\n\\set SHOW_CONTEXT always\n\\set VERBOSITY default\ndo $$ begin perform 1/0; end $$;\n", stop=False)
    return re.sub(r"^LOCATION:.*\n", "", got["errors"], flags=re.M)


@case("notices")
def _():
    return psql("do $$ begin raise notice 'one'; raise warning 'two' using detail = 'more', hint = 'less'; end $$;\ndrop table if exists no_such;\nset client_min_messages = warning;\ndrop table if exists no_such;\n", stop=False)


@case("several statements in one line")
def _():
    return well("select 1\\; select 2\\; select 3;\n\\set SHOW_ALL_RESULTS off\nselect 1\\; select 2;\n")


@case("fetched in pieces")
def _():
    got = well("\\set FETCH_COUNT 100\nselect n, n * 2 from generate_series(1, 1050) n;\n", "-At")
    return [len(got["output"].splitlines()), report.digest([got["output"]])]


@case("session state")
def _():
    return well("set my.own = 'x';\nbegin;\nset local my.own = 'y';\nshow my.own;\ncommit;\nshow my.own;\ncreate temp table t (n int);\n\\d t\n".replace("\\d t\n", "select count(*) from t;\n") + "prepare p as select 1;\nexecute p;\ndeallocate p;\nlisten l;\nselect 1;\n")


@case("notification")
def _():
    got = well("listen psql_news;\nnotify psql_news, 'hello';\nselect 1;\n")
    return re.sub(r"PID \d+", "PID N", got["output"])


@case("large objects by backslash")
def _():
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder) / "in", pathlib.Path(folder) / "out"
        source.write_bytes(bytes(range(256)) * 100)
        text = f"\\lo_import '{source}'\n\\lo_export :LASTOID '{target}'\n\\lo_unlink :LASTOID\nselect 'after' as x;\n"
        got = psql(text, stop=False)
        return [got["errors"].replace(folder, "FOLDER"), got["output"], target.read_bytes() if target.exists() else None]


@case("reconnect by \\c")
def _():
    got = psql("set my.own = 'x';\n\\c\nselect coalesce(nullif(current_setting('my.own', true), ''), 'unset');\n\\c no_such_database\n", stop=False)
    # libpq's text names the address.
    return [got["code"], re.sub(r"(?m)^You are now.*\n|^SSL connection.*\n", "", got["output"]), re.findall(r"FATAL:.*", got["errors"])]


@case("a script of 300 statements from a file")
def _():
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write("".join(f"select {n} as n;\n" for n in range(300)))
        file.flush()
        return report.digest([programs.well("psql", "-X", "-At", "-f", file.name)])


@case("a statement of 500 kB")
def _():
    return well("select length('" + "x" * 500000 + "');\n")["output"]


@case("password asked and wrong")
def _():
    code, output, errors = programs.run("psql", "-X", "-w", "-c", "select 1", environment={"PGPASSWORD": "not-it"})
    return [code, output, re.findall(r"FATAL:.*", errors)]


def running(key):
    """Waits until the statement that takes this advisory lock runs."""
    deadline = time.monotonic() + 60
    while programs.well("psql", "-X", "-At", "-c", f"select pg_try_advisory_xact_lock({key})").strip() != "f":
        assert time.monotonic() < deadline, "the statement never began"
        time.sleep(0.05)


def interrupted(text, key):
    """Starts psql on a script, waits until it holds the lock, and sends it what Ctrl-C sends."""
    process = subprocess.Popen(
        [programs.find("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PGCLIENTENCODING": "UTF8"},
    )
    process.stdin.write(text)
    process.stdin.flush()
    try:
        running(key)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return [process.returncode, output, errors]


@case("Ctrl-C on a long statement")
def _():
    return interrupted("\\echo begins\nselect pg_advisory_lock(660001), pg_sleep(100);\nselect 'after' as x;\n", 660001)


@case("Ctrl-C on a statement that makes rows")
def _():
    got = interrupted("\\pset format unaligned\nselect pg_advisory_lock(660002);\nselect count(*) from generate_series(1, 100000000000) n;\nselect 'after' as x;\n", 660002)
    return [got[0], got[2]]


@case("Ctrl-C in a transaction")
def _():
    return interrupted("begin;\nselect pg_advisory_xact_lock(660003), pg_sleep(100);\nselect 1;\nrollback;\nselect 'after' as x;\n", 660003)


@case("killed client frees what it held")
def _():
    process = subprocess.Popen([programs.find("psql"), "-X", "-q", "-c", "select pg_advisory_lock(660004)", "-c", "select pg_sleep(2)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running(660004)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while programs.well("psql", "-X", "-At", "-c", "select pg_try_advisory_xact_lock(660004)").strip() != "t":
        assert time.monotonic() < deadline, "still held"
        time.sleep(0.1)
    return "free"


report.main()
