"""pgbench: its own load in every protocol mode with 1 and 64 clients, and scripts of our own. Money never gets lost."""

import re
import tempfile

import programs
import report
from report import case

MODES = ("simple", "extended", "prepared")
# Each client's transactions, by the number of clients.
SHARE = {1: 60, 64: 8}
TOTALS = """select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches),
    (select coalesce(sum(delta), 0) from pgbench_history), (select count(*) from pgbench_history), (select count(*) from pgbench_accounts)"""


def totals():
    row = [int(text) for text in programs.well("psql", "-X", "-At", "-F", " ", "-c", TOTALS).split()]
    accounts, tellers, branches, history, transfers, _ = row
    assert accounts == tellers == branches == history, f"money was lost or made: {row}"
    return {"sum": accounts, "transfers": transfers}


def bench(mode, clients, *arguments, share=None):
    """One run; what it processed and what failed."""
    share = share or SHARE[clients]
    # To prepare a statement pgbench waits on that one connection and leaves all others of the thread as they are, some inside
    # transactions. Behind a pool smaller than the number of clients each then waits for the other, so each gets a thread.
    threads = clients if mode == "prepared" else 2
    output = programs.well("pgbench", "-n", "-M", mode, "-c", str(clients), "-j", str(threads), "-t", str(share), "--random-seed=1", *arguments)
    processed = re.search(r"number of transactions actually processed: (\d+/\d+)", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    assert processed and processed[1] == f"{clients * share}/{clients * share}", output
    assert failed and failed[1] == "0", output
    return processed[1]


@case("initialise")
def _():
    programs.well("pgbench", "-i", "-s", "1", "-q")
    return totals()


@case("initialise on the server's side, with foreign keys and partitions")
def _():
    programs.well("pgbench", "-i", "-I", "dtGvpf", "-s", "1", "-q", "--partitions=3")
    seen = totals()
    programs.well("pgbench", "-i", "-s", "1", "-q")
    return seen


def register(mode, clients):
    @case(f"{mode}, {clients} client{'s' * (clients > 1)}")
    def _():
        before = totals()
        processed = bench(mode, clients)
        after = totals()
        assert after["transfers"] - before["transfers"] == clients * SHARE[clients]
        return [processed, after]

    @case(f"{mode}, read only, {clients} client{'s' * (clients > 1)}")
    def _():
        return bench(mode, clients, "-S", share=max(8, 120 // clients))

    @case(f"{mode}, simple update, {clients} client{'s' * (clients > 1)}")
    def _():
        # Touches accounts and history only, so the branches do not agree any more afterwards: start anew.
        processed = bench(mode, clients, "-N")
        programs.well("psql", "-X", "-c", "truncate pgbench_history; update pgbench_accounts set abalance = 0; update pgbench_tellers set tbalance = 0; update pgbench_branches set bbalance = 0")
        return processed


for each in MODES:
    for number in SHARE:
        register(each, number)


@case("connects anew for each transaction")
def _():
    return bench("simple", 4, "-S", "-C", share=10)


SCRIPT = """\\set a random(1, 100000)
\\set b random(1, 100000)
begin;
select abalance as before from pgbench_accounts where aid = :a for update \\gset
update pgbench_accounts set abalance = abalance - 5 where aid = :a;
update pgbench_accounts set abalance = abalance + 5 where aid = :b;
end;
"""
PIPELINED = """\\startpipeline
begin;
update pgbench_branches set bbalance = bbalance + 1 where bid = 1;
update pgbench_branches set bbalance = bbalance - 1 where bid = 1;
select 1;
commit;
\\endpipeline
"""


def scripted(text, mode, clients, share):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text)
        file.flush()
        processed = bench(mode, clients, "--max-tries=20", "-f", file.name, share=share)
    return [processed, programs.well("psql", "-X", "-At", "-c", "select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches)")]


@case("a script of our own")
def _():
    return [scripted(SCRIPT, mode, 8, 20) for mode in MODES]


@case("a pipelined script")
def _():
    return [scripted(PIPELINED, mode, 8, 20) for mode in ("extended", "prepared")]


@case("cleaned up")
def _():
    programs.well("pgbench", "-i", "-I", "d", "-q")
    return programs.well("psql", "-X", "-At", "-c", "select count(*) from pg_class where relname like 'pgbench%'")


report.main()
