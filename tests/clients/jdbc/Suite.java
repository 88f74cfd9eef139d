// The JDBC driver of Debian's libpostgresql-jdbc-java: extended protocol, server-side prepared statements, fetch sizes,
// batches, CopyManager, large objects, notifications. One JSON line for each case; see lib/report.py for what may be in it.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public final class Suite {
    // A guard against a case that hangs, never a measure.
    private static final int CASE_GUARD_S = 60;
    private static final int LONG_VALUE = 4000;

    private static final URI SUBJECT = URI.create(System.getenv("POSTERN_TEST_URL"));
    private static final String SCHEMA = System.getenv("POSTERN_TEST_SCHEMA");
    private static final boolean TLS = SUBJECT.getQuery() == null || !SUBJECT.getQuery().contains("sslmode=disable");
    private static final String[] LOGIN = SUBJECT.getRawUserInfo().split(":", 2);
    private static final String USER = URLDecoder.decode(LOGIN[0], StandardCharsets.UTF_8);
    private static final String PASSWORD = URLDecoder.decode(LOGIN[1], StandardCharsets.UTF_8);
    private static final String DATABASE = SUBJECT.getPath().substring(1);
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.US_ASCII);

    interface Work {
        Object run(Connection c) throws Exception;
    }

    interface Free {
        Object run() throws Exception;
    }

    interface Attempt {
        void run() throws Exception;
    }

    private Suite() {}

    // ---- connections -------------------------------------------------------------------------------------------

    static Properties login(String... changes) {
        Properties p = new Properties();
        p.setProperty("user", USER);
        p.setProperty("password", PASSWORD);
        p.setProperty("sslmode", TLS ? "require" : "disable");
        for (int i = 0; i < changes.length; i += 2) {
            p.setProperty(changes[i], changes[i + 1]);
        }
        return p;
    }

    static Connection connectTo(String database, String... changes) throws SQLException {
        int port = SUBJECT.getPort() < 0 ? 5432 : SUBJECT.getPort();
        return DriverManager.getConnection("jdbc:postgresql://" + SUBJECT.getHost() + ":" + port + "/" + database, login(changes));
    }

    static Connection connect(String... changes) throws SQLException {
        return connectTo(DATABASE, changes);
    }

    static void table(Connection c, String name, String definition) throws SQLException {
        execute(c, "set search_path = " + SCHEMA, "drop table if exists " + name + " cascade", "create table " + name + " (" + definition + ")");
    }

    static void execute(Connection c, String... texts) throws SQLException {
        try (Statement s = c.createStatement()) {
            for (String text : texts) {
                s.execute(text);
            }
        }
    }

    static List<Object> rows(ResultSet r) throws SQLException {
        List<Object> all = new ArrayList<>();
        int n = r.getMetaData().getColumnCount();
        while (r.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= n; i++) {
                row.add(r.getObject(i));
            }
            all.add(row);
        }
        return all;
    }

    static List<Object> query(Connection c, String text, Object... parameters) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(text)) {
            for (int i = 0; i < parameters.length; i++) {
                s.setObject(i + 1, parameters[i]);
            }
            try (ResultSet r = s.executeQuery()) {
                return rows(r);
            }
        }
    }

    static Object one(Connection c, String text, Object... parameters) throws SQLException {
        return ((List<?>) query(c, text, parameters).get(0)).get(0);
    }

    // ---- what is seen ------------------------------------------------------------------------------------------

    static Map<String, Object> diagnosis(SQLException e) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("sqlstate", e.getSQLState());
        ServerErrorMessage s = e instanceof PSQLException ? ((PSQLException) e).getServerErrorMessage() : null;
        if (e instanceof SQLWarning && e instanceof org.postgresql.util.PSQLWarning) {
            s = ((org.postgresql.util.PSQLWarning) e).getServerErrorMessage();
        }
        if (s == null) {
            m.put("by the driver", e.getMessage());
            return m;
        }
        m.put("severity", s.getSeverity());
        m.put("message", s.getMessage());
        m.put("detail", s.getDetail());
        m.put("hint", s.getHint());
        m.put("position", s.getPosition());
        m.put("internal_position", s.getInternalPosition());
        m.put("internal_query", s.getInternalQuery());
        m.put("where", s.getWhere());
        m.put("schema", s.getSchema());
        m.put("table", s.getTable());
        m.put("column", s.getColumn());
        m.put("type", s.getDatatype());
        m.put("constraint", s.getConstraint());
        m.values().removeIf(v -> v == null);
        return m;
    }

    static Map<String, Object> refused(Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (SQLException e) {
            return diagnosis(e);
        }
        throw new AssertionError("no error");
    }

    static List<Object> list(Object... items) {
        return new ArrayList<>(Arrays.asList(items));
    }

    static String sha256(byte[] raw) throws Exception {
        StringBuilder text = new StringBuilder();
        for (byte b : MessageDigest.getInstance("SHA-256").digest(raw)) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    static String json(Object v) throws Exception {
        if (v == null || v instanceof Boolean || v instanceof Integer || v instanceof Long || v instanceof Short) {
            return String.valueOf(v);
        }
        if (v instanceof String) {
            String s = (String) v;
            return s.length() <= LONG_VALUE ? quoted(s) : "{\"string\": " + s.length() + ", \"sha256\": \"" + sha256(s.getBytes(StandardCharsets.UTF_8)) + "\"}";
        }
        if (v instanceof byte[]) {
            byte[] raw = (byte[]) v;
            return "{\"bytes\": " + raw.length + ", \"sha256\": \"" + sha256(raw) + "\"}";
        }
        if (v instanceof Array) {
            return "{\"array\": " + quoted(v.toString()) + "}";
        }
        if (v instanceof Object[]) {
            return json(Arrays.asList((Object[]) v));
        }
        if (v instanceof int[]) {
            return quoted(Arrays.toString((int[]) v));
        }
        StringBuilder b = new StringBuilder();
        if (v instanceof Map) {
            for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
                b.append(b.length() == 0 ? "" : ", ").append(quoted(String.valueOf(e.getKey()))).append(": ").append(json(e.getValue()));
            }
            return "{" + b + "}";
        }
        if (v instanceof Iterable) {
            for (Object item : (Iterable<?>) v) {
                b.append(b.length() == 0 ? "" : ", ").append(json(item));
            }
            return "[" + b + "]";
        }
        return "{" + quoted(v.getClass().getSimpleName()) + ": " + quoted(v.toString()) + "}";
    }

    static String quoted(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char ch : s.toCharArray()) {
            if (ch == '"' || ch == '\\') {
                b.append('\\').append(ch);
            } else if (ch < ' ' || ch > '~') {
                b.append(String.format("\\u%04x", (int) ch));
            } else {
                b.append(ch);
            }
        }
        return b.append('"').toString();
    }

    // ---- running -----------------------------------------------------------------------------------------------

    private static final ExecutorService RUNNER = Executors.newCachedThreadPool(r -> {
        Thread t = new Thread(r);
        t.setDaemon(true);
        return t;
    });

    static void test(String name, Work work, String... changes) {
        free(name, () -> {
            try (Connection c = connect(changes)) {
                return work.run(c);
            }
        });
    }

    static void free(String name, Free work) {
        String line;
        Future<Object> running = RUNNER.submit(work::run);
        try {
            line = "\"ok\": true, \"result\": " + json(running.get(CASE_GUARD_S, TimeUnit.SECONDS));
        } catch (Exception e) {
            Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
            StringWriter trace = new StringWriter();
            cause.printStackTrace(new java.io.PrintWriter(trace));
            String why = cause instanceof TimeoutException ? "no end within " + CASE_GUARD_S + " s" : cause.toString();
            line = "\"ok\": false, \"result\": " + quoted(why) + ", \"trace\": " + quoted(trace.toString());
        }
        OUT.println("{\"case\": " + quoted(name) + ", " + line + "}");
    }

    static void skip(String name, String why) {
        OUT.println("{\"case\": " + quoted(name) + ", \"ok\": true, \"skipped\": " + quoted(why) + "}");
    }

    public static void main(String[] arguments) {
        connecting();
        statements();
        types();
        preparing();
        fetching();
        transactions();
        failing();
        copying();
        sessions();
        metadata();
        System.exit(0);
    }

    // ---- cases -------------------------------------------------------------------------------------------------

    static void connecting() {
        test("fresh schema", c -> {
            execute(c, "set client_min_messages = error", "drop schema if exists " + SCHEMA + " cascade", "create schema " + SCHEMA);
            return "made";
        });
        if (TLS) {
            test("connect over TLS", c -> one(c, "select 1"));
        } else {
            skip("connect over TLS", "the URL asks for no TLS");
        }
        test("connect without TLS", c -> one(c, "select 1"), "sslmode", "disable");
        free("wrong password, unknown user, wrong database", () -> list(
            refused(() -> connect("password", "not-it")), refused(() -> connect("user", "nobody_at_all")), refused(() -> connectTo("no_such_database"))));
        test("start-up parameters", c -> list(one(c, "show application_name"), one(c, "show search_path"), one(c, "show statement_timeout")),
            "ApplicationName", "the suite", "currentSchema", SCHEMA, "options", "-c statement_timeout=5000");
        test("parameter status", c -> {
            Map<String, String> all = new LinkedHashMap<>(c.unwrap(PGConnection.class).getParameterStatuses());
            all.keySet().retainAll(Arrays.asList("server_version", "server_encoding", "client_encoding", "is_superuser", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings"));
            return new java.util.TreeMap<>(all);
        });
        test("parameter status follows SET", c -> {
            execute(c, "set TimeZone = 'Asia/Tokyo'", "set application_name = 'renamed'");
            PGConnection pg = c.unwrap(PGConnection.class);
            return list(pg.getParameterStatus("TimeZone"), pg.getParameterStatus("application_name"));
        });
        test("is valid", c -> list(c.isValid(10), c.getSchema(), c.getCatalog(), c.isReadOnly()));
        test("assumed server version", c -> one(c, "show server_version"), "assumeMinServerVersion", "15", "ApplicationName", "early");
    }

    static void statements() {
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            test("queries in mode " + mode, c -> {
                List<Object> seen = list();
                for (int n = 0; n < 8; n++) {
                    seen.add(query(c, "select ? + 1, ?, ?::text", n, "x'y\\z", null));
                }
                try (Statement s = c.createStatement()) {
                    seen.add(s.execute("select 1"));
                    seen.add(s.execute("create temp table t (n int)"));
                    seen.add(s.executeUpdate("insert into t values (1), (2), (3)"));
                    seen.add(s.executeUpdate("update t set n = n + 1 where n > 1"));
                    seen.add(refused(() -> s.execute("select 1/0")));
                    seen.add(refused(() -> s.execute("selec 1")));
                    seen.add(refused(() -> query(c, "select ?::int", "x")));
                    seen.add(s.execute(""));
                }
                return seen;
            }, "preferQueryMode", mode);
        }
        test("several statements at once", c -> {
            List<Object> seen = list();
            try (Statement s = c.createStatement()) {
                boolean isRows = s.execute("select 1, 'a'; create temp table t (n int); insert into t values (1), (2); select * from t; do $$ begin end $$");
                while (isRows || s.getUpdateCount() != -1) {
                    seen.add(isRows ? rows(s.getResultSet()) : s.getUpdateCount());
                    isRows = s.getMoreResults();
                }
            }
            return seen;
        });
        test("several statements, one fails", c -> {
            table(c, "together", "n int");
            return list(refused(() -> execute(c, "insert into together values (1); select 1/0; insert into together values (2)")), one(c, "select count(*) from together"));
        });
        test("generated keys", c -> {
            table(c, "keyed", "id serial primary key, t text");
            try (PreparedStatement s = c.prepareStatement("insert into keyed (t) values (?), (?)", Statement.RETURN_GENERATED_KEYS)) {
                s.setString(1, "a");
                s.setString(2, "b");
                return list(s.executeUpdate(), rows(s.getGeneratedKeys()));
            }
        });
        test("functions and procedures", c -> {
            execute(c, "set search_path = " + SCHEMA, "create or replace function twice(n int) returns int language sql as 'select n * 2'", "create or replace procedure bump(inout n int) language plpgsql as $$ begin n := n + 1; end $$",
                "create or replace function cursors() returns refcursor language plpgsql as $$ declare r refcursor := 'rows'; begin open r for select n from generate_series(1, 3) n; return r; end $$");
            List<Object> seen = list();
            try (CallableStatement s = c.prepareCall("{? = call twice(?)}")) {
                s.registerOutParameter(1, Types.INTEGER);
                s.setInt(2, 21);
                s.execute();
                seen.add(s.getInt(1));
            }
            try (CallableStatement s = c.prepareCall("call bump(?)")) {
                s.setInt(1, 4);
                s.registerOutParameter(1, Types.INTEGER);
                s.execute();
                seen.add(s.getInt(1));
            }
            c.setAutoCommit(false);
            try (CallableStatement s = c.prepareCall("{? = call cursors()}")) {
                s.registerOutParameter(1, Types.REF_CURSOR);
                s.execute();
                seen.add(rows((ResultSet) s.getObject(1)));
            }
            c.rollback();
            return seen;
        });
        test("a large statement", c -> {
            StringBuilder text = new StringBuilder("select sum(v) from (values (0)");
            Object[] values = new Object[500];
            for (int i = 0; i < values.length; i++) {
                text.append(", (?::int)");
                values[i] = i;
            }
            return one(c, text + ") t(v) -- " + "x".repeat(200000), values);
        });
        test("long identifiers", c -> {
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select 1 as " + "e".repeat(63) + ", 2 as " + "l".repeat(80) + ", 3 as \"" + "\u00fc".repeat(40) + "\"")) {
                return list(r.getMetaData().getColumnName(1), r.getMetaData().getColumnName(2), r.getMetaData().getColumnName(3));
            }
        });
    }

    static void types() {
        for (boolean binary : new boolean[] {true, false}) {
            test("common types there and back, " + (binary ? "binary" : "text"), c -> {
                execute(c, "set TimeZone = 'UTC'");
                List<Object> seen = list();
                Object[][] values = {
                    {"int2", (short) -32768}, {"int4", Integer.MIN_VALUE}, {"int8", Long.MAX_VALUE}, {"numeric", new BigDecimal("123456789012345678901234567890.0123456789")}, {"float4", Float.MAX_VALUE}, {"float8", Double.MIN_VALUE},
                    {"float8", Double.NEGATIVE_INFINITY}, {"float8", -0.0}, {"bool", true}, {"text", "Gr\u00fc\u00dfe \u4e16\u754c \ud83c\udf0d"}, {"text", ""}, {"bytea", new byte[] {0, -1, 39, 92}}, {"date", LocalDate.of(2024, 2, 29)},
                    {"time", LocalTime.of(23, 59, 59, 999999000)}, {"timestamp", LocalDateTime.of(2024, 2, 29, 12, 34, 56, 789012000)}, {"timestamptz", OffsetDateTime.of(2024, 2, 29, 12, 34, 56, 0, ZoneOffset.UTC)}, {"uuid", UUID.fromString("01234567-89ab-cdef-0123-456789abcdef")},
                };
                // The driver goes over to named statements and binary results after a few uses.
                for (int round = 0; round < 7; round++) {
                    List<Object> now = list();
                    for (Object[] pair : values) {
                        now.add(query(c, "select ?::" + pair[0] + " as v, null::" + pair[0] + " as nil, array[?::" + pair[0] + ", null]", pair[1], pair[1]));
                    }
                    if (round == 0 || round == 6) {
                        seen.add(now);
                    }
                }
                return seen;
            }, "binaryTransfer", String.valueOf(binary));
        }
        test("other types as text", c -> {
            Map<String, Object> seen = new LinkedHashMap<>();
            String[][] values = {{"jsonb", "{\"a\": [1, null]}"}, {"json", "{\"a\":  1}"}, {"inet", "10.0.0.1/8"}, {"int4range", "[1,5)"}, {"point", "(1,2)"}, {"interval", "1 year 2 mons -3 days 04:05:06.7"}, {"money", "12.34"}, {"tsvector", "'a':1"}, {"bit(3)", "101"}, {"int4multirange", "{[1,3)}"}};
            for (String[] pair : values) {
                PGobject object = new PGobject();
                object.setType(pair[0].replaceAll("\\(.*", ""));
                object.setValue(pair[1]);
                try (PreparedStatement s = c.prepareStatement("select ?::" + pair[0] + ", null::" + pair[0])) {
                    s.setObject(1, object);
                    ResultSet r = s.executeQuery();
                    r.next();
                    seen.put(pair[0], list(r.getString(1), r.getString(2), r.getMetaData().getColumnTypeName(1)));
                }
            }
            return seen;
        });
        // PostgreSQL may be built without it.
        test("xml", c -> {
            try (PreparedStatement s = c.prepareStatement("select ?::xml::text")) {
                s.setString(1, "<a/>");
                return rows(s.executeQuery());
            } catch (SQLException e) {
                return diagnosis(e);
            }
        });
        test("arrays", c -> {
            try (PreparedStatement s = c.prepareStatement("select ?::int[], ?::text[], ?::int[][]")) {
                s.setArray(1, c.createArrayOf("int4", new Object[] {1, null, 3}));
                s.setArray(2, c.createArrayOf("text", new Object[] {"a,b", "q\"", "", null, "NULL"}));
                s.setArray(3, c.createArrayOf("int4", new Object[][] {{1, 2}, {3, 4}}));
                ResultSet r = s.executeQuery();
                r.next();
                return list(r.getArray(1).getArray(), r.getArray(2).getArray(), Arrays.deepToString((Object[]) r.getArray(3).getArray()));
            }
        });
        test("composite and enum", c -> {
            execute(c, "set search_path = " + SCHEMA, "drop type if exists pair cascade", "drop type if exists mood cascade", "create type pair as (n int, t text)", "create type mood as enum ('sad', 'ok')");
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select row(1, 'a,\"b')::pair, 'ok'::mood, array['sad'::mood]")) {
                r.next();
                return list(r.getString(1), r.getString(2), r.getString(3));
            }
        });
        test("a megabyte of bytea", c -> {
            byte[] raw = new byte[1 << 20];
            for (int i = 0; i < raw.length; i++) {
                raw[i] = (byte) (i * 7);
            }
            table(c, "blobs", "b bytea");
            try (PreparedStatement s = c.prepareStatement("insert into blobs values (?)")) {
                s.setBinaryStream(1, new ByteArrayInputStream(raw), raw.length);
                s.executeUpdate();
            }
            List<Object> back = query(c, "select b, md5(b) from blobs");
            if (!Arrays.equals(raw, (byte[]) ((List<?>) back.get(0)).get(0))) {
                throw new AssertionError("not the same bytes");
            }
            return back;
        });
        test("large object", c -> {
            c.setAutoCommit(false);
            LargeObjectManager manager = c.unwrap(PGConnection.class).getLargeObjectAPI();
            // The driver reads and writes large objects by FunctionCall messages.
            try {
                long oid = manager.createLO(LargeObjectManager.READWRITE);
                LargeObject object = manager.open(oid, LargeObjectManager.READWRITE);
                object.write(new byte[100000]);
                object.seek(50000);
                object.write("here".getBytes(StandardCharsets.UTF_8));
                object.seek(0);
                byte[] all = object.read(200000);
                object.close();
                manager.delete(oid);
                c.commit();
                return all;
            } catch (SQLException e) {
                // Sessions that may not do so must still be of use afterwards.
                c.rollback();
                return list(diagnosis(e), one(c, "select 1"));
            }
        });
    }

    static void preparing() {
        test("server-side prepared after five uses", c -> {
            List<Object> seen = list();
            try (PreparedStatement s = c.prepareStatement("select ? * 2")) {
                long sum = 0;
                for (int n = 0; n < 300; n++) {
                    s.setInt(1, n);
                    ResultSet r = s.executeQuery();
                    r.next();
                    sum += r.getInt(1);
                }
                seen.add(sum);
                seen.add(s.unwrap(org.postgresql.PGStatement.class).isUseServerPrepare());
            }
            seen.add(one(c, "select count(*) from pg_prepared_statements where statement = 'select $1 * 2'"));
            return seen;
        });
        test("server-side prepared at once", c -> {
            long sum = 0;
            for (int n = 0; n < 50; n++) {
                sum += ((Number) one(c, "select ? + 5", n)).longValue();
            }
            return sum;
        }, "prepareThreshold", "1");
        test("never prepared", c -> {
            long sum = 0;
            for (int n = 0; n < 50; n++) {
                sum += ((Number) one(c, "select ? + 5", n)).longValue();
            }
            return list(sum, one(c, "select count(*) from pg_prepared_statements"));
        }, "prepareThreshold", "0");
        test("a small statement cache", c -> {
            long sum = 0;
            for (int round = 0; round < 3; round++) {
                for (int n = 0; n < 40; n++) {
                    sum += ((Number) one(c, "select ? + " + n, 1)).longValue();
                }
            }
            return sum;
        }, "prepareThreshold", "1", "preparedStatementCacheQueries", "10");
        test("prepared statement after DDL", c -> {
            try (Connection other = connect()) {
                table(c, "changing", "a int");
                execute(c, "insert into changing values (1)");
                List<Object> seen = list();
                try (PreparedStatement s = c.prepareStatement("select * from changing")) {
                    for (int n = 0; n < 7; n++) {
                        seen.add(rows(s.executeQuery()));
                    }
                    execute(other, "alter table " + SCHEMA + ".changing add column b int default 5");
                    // The driver prepares it again by itself, outside of a transaction.
                    seen.add(rows(s.executeQuery()));
                    c.setAutoCommit(false);
                    rows(s.executeQuery());
                    execute(other, "set lock_timeout = 0");
                    c.rollback();
                }
                return seen;
            }
        }, "prepareThreshold", "2");
        test("prepared statement changed inside a transaction", c -> {
            table(c, "moving", "a int");
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("select * from moving")) {
                for (int n = 0; n < 7; n++) {
                    rows(s.executeQuery());
                }
                execute(c, "alter table moving add column b int");
                Object failed = refused(s::executeQuery);
                c.rollback();
                return list(failed, rows(s.executeQuery()));
            }
        }, "prepareThreshold", "2");
        test("parameter types change", c -> {
            List<Object> seen = list();
            try (PreparedStatement s = c.prepareStatement("select pg_typeof(?)::text")) {
                for (int n = 0; n < 12; n++) {
                    switch (n % 3) {
                        case 0: s.setInt(1, n); break;
                        case 1: s.setLong(1, n); break;
                        default: s.setBigDecimal(1, BigDecimal.ONE);
                    }
                    seen.add(rows(s.executeQuery()));
                }
            }
            return seen;
        }, "prepareThreshold", "1");
        test("parameter and result description", c -> {
            table(c, "described", "a int not null, b varchar(7), c numeric(9,3)");
            try (PreparedStatement s = c.prepareStatement("select a, b, c, a + 1 as d from described where a = ? and b = ?")) {
                ParameterMetaData p = s.getParameterMetaData();
                ResultSetMetaData m = s.getMetaData();
                List<Object> seen = list(p.getParameterCount(), p.getParameterTypeName(1), p.getParameterTypeName(2));
                for (int i = 1; i <= m.getColumnCount(); i++) {
                    seen.add(list(m.getColumnName(i), m.getColumnTypeName(i), m.getPrecision(i), m.getScale(i), m.isNullable(i), m.getTableName(i), m.isAutoIncrement(i)));
                }
                return seen;
            }
        });
        test("batch", c -> {
            table(c, "batched", "n int primary key, t text");
            List<Object> seen = list();
            try (PreparedStatement s = c.prepareStatement("insert into batched values (?, ?)")) {
                for (int n = 0; n < 1000; n++) {
                    s.setInt(1, n);
                    s.setString(2, "t" + n);
                    s.addBatch();
                }
                seen.add(Arrays.stream(s.executeBatch()).sum());
                for (int n : new int[] {2000, 5, 2001}) {
                    s.setInt(1, n);
                    s.setString(2, "x");
                    s.addBatch();
                }
                try {
                    s.executeBatch();
                } catch (BatchUpdateException e) {
                    seen.add(list(e.getUpdateCounts(), diagnosis(e.getNextException())));
                }
            }
            try (Statement s = c.createStatement()) {
                s.addBatch("update batched set t = 'u' where n < 10");
                s.addBatch("delete from batched where n < 5");
                seen.add(s.executeBatch());
            }
            seen.add(one(c, "select count(*) from batched"));
            return seen;
        });
        test("batch rewritten to many rows", c -> {
            table(c, "rewritten", "n int");
            try (PreparedStatement s = c.prepareStatement("insert into rewritten values (?)")) {
                for (int n = 0; n < 500; n++) {
                    s.setInt(1, n);
                    s.addBatch();
                }
                s.executeBatch();
            }
            return query(c, "select count(*), sum(n) from rewritten");
        }, "reWriteBatchedInserts", "true");
        test("batch with keys", c -> {
            table(c, "batch_keys", "id serial, n int");
            try (PreparedStatement s = c.prepareStatement("insert into batch_keys (n) values (?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int n = 0; n < 300; n++) {
                    s.setInt(1, n);
                    s.addBatch();
                }
                s.executeBatch();
                return rows(s.getGeneratedKeys()).size();
            }
        });
    }

    static void fetching() {
        test("big result", c -> {
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select n, repeat('r', n % 50), n * 1.5 from generate_series(1, 100000) n")) {
                long sum = 0;
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                while (r.next()) {
                    sum += r.getInt(1);
                    digest.update((r.getString(2) + r.getBigDecimal(3)).getBytes(StandardCharsets.UTF_8));
                }
                return list(sum, digest.digest());
            }
        });
        for (int size : new int[] {1, 50, 5000}) {
            test("fetch size " + size, c -> {
                c.setAutoCommit(false);
                try (Statement s = c.createStatement()) {
                    s.setFetchSize(size);
                    long sum = 0;
                    try (ResultSet r = s.executeQuery("select n from generate_series(1, " + (size == 1 ? 200 : 20000) + ") n")) {
                        while (r.next()) {
                            sum += r.getInt(1);
                        }
                    }
                    // One that is not read to its end, while another is opened.
                    ResultSet open = s.executeQuery("select n from generate_series(1, 100000) n");
                    open.next();
                    Object between = one(c, "select 'between'");
                    open.next();
                    int second = open.getInt(1);
                    open.close();
                    c.commit();
                    return list(sum, between, second);
                }
            });
        }
        test("two portals side by side", c -> {
            c.setAutoCommit(false);
            try (PreparedStatement a = c.prepareStatement("select n from generate_series(1, 500) n"); PreparedStatement b = c.prepareStatement("select n * 2 from generate_series(1, 500) n")) {
                a.setFetchSize(7);
                b.setFetchSize(11);
                long sum = 0;
                ResultSet x = a.executeQuery();
                ResultSet y = b.executeQuery();
                while (x.next() && y.next()) {
                    sum += x.getInt(1) + y.getInt(1);
                }
                c.commit();
                return sum;
            }
        });
        test("error in the middle of a portal", c -> {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(10);
                ResultSet r = s.executeQuery("select 1 / (25 - n) from generate_series(1, 50) n");
                int[] read = {0};
                Object failed = refused(() -> {
                    while (r.next()) {
                        read[0]++;
                    }
                });
                c.rollback();
                return list(read[0], failed, one(c, "select 1"));
            }
        });
        test("maximum of rows", c -> {
            try (Statement s = c.createStatement()) {
                s.setMaxRows(5);
                return rows(s.executeQuery("select n from generate_series(1, 100) n"));
            }
        });
        test("scrollable and updatable", c -> {
            table(c, "scrolled", "n int primary key, t text");
            execute(c, "insert into scrolled select n, 't' || n from generate_series(1, 10) n");
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE); ResultSet r = s.executeQuery("select n, t from scrolled order by n")) {
                r.absolute(5);
                r.updateString("t", "changed");
                r.updateRow();
                r.last();
                r.deleteRow();
                r.moveToInsertRow();
                r.updateInt("n", 99);
                r.updateString("t", "new");
                r.insertRow();
            }
            return query(c, "select * from scrolled order by n");
        });
    }

    static void transactions() {
        test("commit, rollback, savepoints", c -> {
            table(c, "rows", "n int primary key");
            c.setAutoCommit(false);
            List<Object> seen = list();
            execute(c, "insert into rows values (1)");
            Savepoint one = c.setSavepoint("named one");
            seen.add(refused(() -> execute(c, "insert into rows values (1)")));
            seen.add(refused(() -> execute(c, "select 1")));
            c.rollback(one);
            execute(c, "insert into rows values (2)");
            Savepoint two = c.setSavepoint();
            execute(c, "insert into rows values (3)");
            c.rollback(two);
            c.releaseSavepoint(one);
            c.commit();
            execute(c, "insert into rows values (4)");
            c.rollback();
            c.setAutoCommit(true);
            seen.add(query(c, "select n from rows order by n"));
            return seen;
        });
        test("commit of a failed transaction", c -> {
            c.setAutoCommit(false);
            Object first = refused(() -> execute(c, "select 1/0"));
            Object ended = "no error";
            try {
                c.commit();
            } catch (SQLException e) {
                ended = diagnosis(e);
            }
            return list(first, ended, one(c, "select 1"));
        });
        test("isolation and read only", c -> {
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            c.setReadOnly(true);
            c.setAutoCommit(false);
            Object failed = refused(() -> execute(c, "create table never (n int)"));
            c.rollback();
            Object level = one(c, "show transaction_isolation");
            c.rollback();
            c.setReadOnly(false);
            return list(failed, level, c.getTransactionIsolation());
        });
        test("autosave", c -> {
            table(c, "saved", "n int primary key");
            c.setAutoCommit(false);
            execute(c, "insert into saved values (1)");
            Object failed = refused(() -> execute(c, "insert into saved values (1)"));
            execute(c, "insert into saved values (2)");
            c.commit();
            return list(failed, one(c, "select count(*) from saved"));
        }, "autosave", "always");
    }

    static void failing() {
        test("errors", c -> {
            Map<String, Object> seen = new LinkedHashMap<>();
            for (String text : new String[] {"selec 1", "select * from no_such_table", "select nope", "select 1/0", "select 'x'::int", "select '\u00e4' || nope", "create table pg_catalog.mine (n int)", "drop table no_such_table", "set no_such_setting = 1",
                "do $$ begin raise exception 'made up' using errcode = 'ZX123', detail = 'd', hint = 'h', table = 't', column = 'c', constraint = 'k', schema = 's', datatype = 'y'; end $$"}) {
                seen.put(text, list(refused(() -> execute(c, text)), refused(() -> query(c, text))));
            }
            seen.put("after", one(c, "select 1"));
            return seen;
        });
        test("constraint violations", c -> {
            table(c, "strict", "id int primary key, name text not null, age int constraint grown check (age > 17), parent int references strict");
            execute(c, "insert into strict values (1, 'a', 20, null)");
            List<Object> seen = list();
            for (String values : new String[] {"(1, 'b', 30, null)", "(2, null, 30, null)", "(3, 'c', 3, null)", "(4, 'd', 30, 99)"}) {
                seen.add(refused(() -> execute(c, "insert into strict values " + values)));
            }
            return seen;
        });
        test("warnings and notices", c -> {
            List<Object> seen = list();
            try (Statement s = c.createStatement()) {
                s.execute("do $$ begin raise notice 'one' using hint = 'h'; raise warning 'two'; end $$");
                for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) {
                    seen.add(diagnosis(w));
                }
            }
            return seen;
        });
        test("cancel", c -> {
            try (Statement s = c.createStatement()) {
                Future<Object> running = RUNNER.submit(() -> refused(() -> s.execute("select pg_sleep(50)")));
                for (int tries = 0; tries < 20 && !running.isDone(); tries++) {
                    Thread.sleep(300);
                    s.cancel();
                    try {
                        running.get(2, TimeUnit.SECONDS);
                    } catch (TimeoutException early) {
                        continue;
                    }
                }
                return list(running.get(), one(c, "select 1"));
            }
        });
        test("query time-out", c -> {
            try (Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                Object failed = refused(() -> s.execute("select pg_sleep(50)"));
                Thread.sleep(200);
                return list(failed, one(c, "select 1"));
            }
        });
        test("statement_timeout", c -> list(refused(() -> execute(c, "select pg_sleep(50)")), one(c, "select 1")), "options", "-c statement_timeout=100");
    }

    static void copying() {
        test("copy in and out", c -> {
            table(c, "copied", "n int primary key, t text");
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            for (int n = 0; n < 20000; n++) {
                lines.append(n).append("\trow \u00fc ").append(n).append('\n');
            }
            List<Object> seen = list(copy.copyIn("copy copied from stdin", new StringReader(lines.toString())));
            for (String form : new String[] {"text", "csv", "binary"}) {
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                seen.add(copy.copyOut("copy (select * from copied order by n) to stdout (format " + form + ")", out));
                execute(c, "create temp table if not exists back (like copied)", "truncate back");
                InputStream in = new ByteArrayInputStream(out.toByteArray());
                seen.add(list(out.toByteArray(), copy.copyIn("copy back from stdin (format " + form + ")", in), one(c, "select md5(string_agg(b::text, '' order by n)) from back b")));
            }
            return seen;
        });
        test("copy that fails", c -> {
            table(c, "failing", "n int primary key");
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            List<Object> seen = list();
            seen.add(refused(() -> copy.copyIn("copy failing from stdin", new StringReader("1\nx\n"))));
            seen.add(refused(() -> copy.copyIn("copy failing from stdin", new StringReader("1\n1\n"))));
            seen.add(refused(() -> copy.copyIn("copy no_such_table from stdin", new StringReader("1\n"))));
            seen.add(refused(() -> copy.copyOut("copy (select 1 / (500 - n) from generate_series(1, 1000) n) to stdout", new ByteArrayOutputStream())));
            CopyIn given = copy.copyIn("copy failing from stdin");
            given.writeToCopy("7\n".getBytes(StandardCharsets.UTF_8), 0, 2);
            given.cancelCopy();
            seen.add(one(c, "select count(*) from failing"));
            return seen;
        });
    }

    static void sessions() {
        test("listen and notify", a -> {
            try (Connection b = connect()) {
                execute(a, "listen jdbc_news", "notify jdbc_news, 'from myself'");
                execute(b, "notify jdbc_news, 'from another'", "notify other, 'unheard'", "select pg_notify('jdbc_news', '\u00fcn\u00ef')", "notify jdbc_news, 'last'");
                List<Object> got = list();
                long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
                while (got.size() < 4 && System.nanoTime() < until) {
                    PGNotification[] some = a.unwrap(PGConnection.class).getNotifications(1000);
                    for (PGNotification n : some == null ? new PGNotification[0] : some) {
                        got.add(list(n.getName(), n.getParameter()));
                    }
                }
                return got;
            }
        });
        test("session state over transactions", c -> {
            execute(c, "set work_mem = '7MB'", "create temp table scratch (n int)");
            c.setAutoCommit(false);
            execute(c, "insert into scratch values (1)", "set local work_mem = '8MB'");
            List<Object> seen = list(one(c, "show work_mem"));
            c.commit();
            seen.add(list(one(c, "show work_mem"), one(c, "select count(*) from scratch"), one(c, "select pg_try_advisory_lock(990041)"), one(c, "select pg_advisory_unlock(990041)")));
            c.commit();
            c.setAutoCommit(true);
            execute(c, "discard all");
            seen.add(refused(() -> execute(c, "table scratch")));
            return seen;
        });
        test("deallocate behind the driver's back", c -> {
            try (PreparedStatement s = c.prepareStatement("select 1 + ?")) {
                for (int n = 0; n < 6; n++) {
                    s.setInt(1, n);
                    rows(s.executeQuery());
                }
                execute(c, "deallocate all");
                s.setInt(1, 40);
                return rows(s.executeQuery());
            }
        }, "prepareThreshold", "2");
        free("ten sessions at once", () -> {
            List<Future<Object>> all = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                int number = i;
                all.add(RUNNER.submit(() -> {
                    try (Connection c = connect()) {
                        c.setAutoCommit(false);
                        long sum = 0;
                        for (int n = 0; n < 30; n++) {
                            sum += ((Number) one(c, "select ? * 1000 + ?", number, n)).longValue();
                            c.commit();
                        }
                        return sum;
                    }
                }));
            }
            List<Object> seen = list();
            for (Future<Object> f : all) {
                seen.add(f.get());
            }
            return seen;
        });
    }

    static void metadata() {
        test("what the catalogue says", c -> {
            table(c, "meta_parent", "id serial primary key, name varchar(20) not null unique");
            table(c, "meta_child", "id int primary key, parent int references meta_parent on delete cascade, price numeric(10,2) default 1.5");
            execute(c, "create index meta_child_price on meta_child (price desc)", "comment on table meta_child is 'the children'");
            DatabaseMetaData m = c.getMetaData();
            List<Object> seen = list(m.getDatabaseProductName(), m.getDatabaseProductVersion(), m.getUserName(), m.getMaxColumnNameLength());
            seen.add(columns(m.getTables(null, SCHEMA, "meta%", null), "TABLE_NAME", "TABLE_TYPE", "REMARKS"));
            seen.add(columns(m.getColumns(null, SCHEMA, "meta%", null), "TABLE_NAME", "COLUMN_NAME", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "COLUMN_DEF"));
            seen.add(columns(m.getPrimaryKeys(null, SCHEMA, "meta_child"), "COLUMN_NAME", "PK_NAME"));
            seen.add(columns(m.getImportedKeys(null, SCHEMA, "meta_child"), "FKCOLUMN_NAME", "PKTABLE_NAME", "DELETE_RULE"));
            seen.add(columns(m.getIndexInfo(null, SCHEMA, "meta_child", false, true), "INDEX_NAME", "COLUMN_NAME", "ASC_OR_DESC"));
            seen.add(columns(m.getSchemas(null, SCHEMA), "TABLE_SCHEM"));
            return seen;
        });
    }

    static List<Object> columns(ResultSet r, String... names) throws SQLException {
        List<Object> all = new ArrayList<>();
        while (r.next()) {
            List<Object> row = new ArrayList<>();
            for (String name : names) {
                row.add(r.getString(name));
            }
            all.add(row);
        }
        return all.isEmpty() ? Collections.emptyList() : all;
    }
}
