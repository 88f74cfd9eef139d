"""What a psycopg program can see of errors, notices and transaction state."""

import psycopg


def diagnosis(error):
    """Every field of an error or notice that the server itself chooses, and nothing that names its source code."""
    diag = error if isinstance(error, psycopg.errors.Diagnostic) else error.diag
    names = {
        "severity": diag.severity_nonlocalized,
        "sqlstate": diag.sqlstate,
        "message": diag.message_primary,
        "detail": diag.message_detail,
        "hint": diag.message_hint,
        "position": diag.statement_position,
        "internal_position": diag.internal_position,
        "internal_query": diag.internal_query,
        "context": diag.context,
        "schema": diag.schema_name,
        "table": diag.table_name,
        "column": diag.column_name,
        "type": diag.datatype_name,
        "constraint": diag.constraint_name,
    }
    return {name: value for name, value in names.items() if value is not None}


def refused(function, *arguments, **keywords):
    """Runs what must fail with an error of the server, and says how it failed."""
    try:
        function(*arguments, **keywords)
    except psycopg.Error as error:
        return {"class": type(error).__name__} | diagnosis(error)
    raise AssertionError("no error")


async def refused_async(awaitable):
    try:
        await awaitable
    except psycopg.Error as error:
        return {"class": type(error).__name__} | diagnosis(error)
    raise AssertionError("no error")


def sign_in_refusal(error):
    """libpq's own text names address and port, so only what the server said is kept."""
    lines = [line.partition("FATAL:")[2].strip() for line in str(error).splitlines() if "FATAL:" in line]
    assert lines, str(error)
    return sorted(set(lines))


def status(connection):
    return connection.info.transaction_status.name


def columns(cursor):
    """The row description as the program sees it; table OIDs change from run to run and are left out."""
    return [[c.name, c.type_code, c.internal_size, c.precision, c.scale] for c in cursor.description]
