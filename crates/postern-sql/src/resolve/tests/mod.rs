//! Bounds of the resolver, and rules that need no server, against a small catalogue. That it agrees with
//! PostgreSQL is tested in `postern-e2e`, against real ones.

use super::*;
use postern_catalog::{
    Column, Document, FORMAT_VERSION, Function, FunctionKind, Memo, Operator, Relation, RelationKind, Type,
    TypeKind, Volatility,
};
use proptest::prelude::*;

const INT4: u32 = 23;
const TEXT: u32 = 25;

fn relation(oid: u32, name: &str, columns: &[&str], definition: Option<&str>) -> Relation {
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: if definition.is_some() {
            RelationKind::View
        } else {
            RelationKind::Table
        },
        columns: (1..)
            .zip(columns)
            .map(|(number, name)| Column {
                number,
                name: (*name).to_owned(),
                type_oid: INT4,
                loose_equality: false,
            })
            .collect(),
        row_type: 0,
        parents: Vec::new(),
        partition: false,
        definition: definition.map(str::to_owned),
        row_security: false,
        row_security_forced: false,
        security_invoker: false,
        instead_of_triggers: false,
        rules: Vec::new(),
        keys: Vec::new(),
        memo: Memo::default(),
    }
}

fn function(oid: u32, schema: &str, name: &str, arguments: &[u32]) -> Function {
    Function {
        oid,
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: FunctionKind::Plain,
        volatility: Volatility::Immutable,
        security_definer: false,
        language: "internal".to_owned(),
        arguments: arguments.to_vec(),
        defaults: 0,
        variadic: 0,
        result: INT4,
        returns_set: false,
        outputs: Vec::new(),
    }
}

fn operator(oid: u32, schema: &str, name: &str, function: u32) -> Operator {
    Operator {
        oid,
        schema: schema.to_owned(),
        name: name.to_owned(),
        left: INT4,
        right: INT4,
        result: INT4,
        function,
    }
}

fn document() -> Document {
    let ty = |oid: u32, name: &str| Type {
        oid,
        schema: "pg_catalog".to_owned(),
        name: name.to_owned(),
        kind: TypeKind::Base,
        base: None,
        element: None,
        relation: None,
    };
    Document {
        version: FORMAT_VERSION,
        server_version: 150_000,
        database: "demo".to_owned(),
        schemas: vec!["public".to_owned(), "pg_catalog".to_owned()],
        relations: vec![
            relation(1, "t", &["a", "b", "tenant_id"], None),
            relation(2, "u", &["a", "c", "tenant_id"], None),
            relation(
                3,
                "v",
                &["a", "tenant_id"],
                Some("SELECT t.a, t.tenant_id FROM public.t WHERE (t.b = 1);"),
            ),
            relation(4, "w", &["a"], Some("SELECT w.a FROM public.w;")),
        ],
        functions: vec![
            function(10, "pg_catalog", "f", &[INT4]),
            function(11, "public", "f", &[INT4]),
            function(12, "public", "f", &[TEXT]),
            function(13, "pg_catalog", "int4eq", &[INT4, INT4]),
            function(14, "public", "sly", &[INT4, INT4]),
        ],
        types: vec![ty(INT4, "int4"), ty(TEXT, "text")],
        operators: vec![
            operator(20, "pg_catalog", "=", 13),
            operator(21, "pg_catalog", "+", 13),
            operator(22, "pg_catalog", "<>", 13),
            operator(23, "pg_catalog", "<", 13),
            operator(24, "public", "@@@", 14),
        ],
        casts: Vec::new(),
        foreign_keys: Vec::new(),
    }
}

fn resolved(sql: &str) -> Result<Vec<Resolved>, ResolveError> {
    let catalog = Catalog::new(document()).unwrap();
    resolved_in(&catalog, sql)
}

fn resolved_in(catalog: &Catalog, sql: &str) -> Result<Vec<Resolved>, ResolveError> {
    let names = Names {
        catalog,
        search_path: &["public".to_owned()],
    };
    resolve(sql, &names, &SqlLimits::default())
}

fn calls(sql: &str) -> Vec<u32> {
    let all = resolved(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let actions = all.iter().flat_map(|resolved| &resolved.actions);
    actions
        .filter_map(|used| match used.object {
            Object::Function(function) => Some(function.0),
            _ => None,
        })
        .collect()
}

fn code(sql: &str) -> String {
    resolved(sql).unwrap_err().code.as_str().to_owned()
}

#[test]
fn all_that_a_call_may_mean_is_called() {
    // public.f(int4) is hidden by the one of pg_catalog.
    assert_eq!(calls("SELECT f($1)"), [10, 12]);
    assert_eq!(calls("SELECT public.f($1)"), [11, 12]);
    // The types of columns are known.
    assert_eq!(calls("SELECT f(a) FROM t"), [10]);
    assert_eq!(calls("SELECT a @@@ 1 FROM t"), [14]);
    assert_eq!(calls("SELECT a = 1 FROM t"), [0; 0]);
    assert_eq!(code("SELECT f(1, 2)"), "42883");
}

#[test]
fn an_equality_of_users_proves_nothing() {
    let held = |document: Document| {
        let catalog = Catalog::new(document).unwrap();
        let resolved = resolved_in(&catalog, "SELECT a FROM t WHERE tenant_id = $1").unwrap();
        resolved
            .iter()
            .any(|r| r.tenancy.iter().any(|i| !i.bounds.is_empty()))
    };
    assert!(held(document()));
    let mut shadowed = document();
    shadowed.operators.push(operator(25, "public", "=", 14));
    assert!(!held(shadowed));
    let mut loose = document();
    for column in loose.relations.iter_mut().flat_map(|r| &mut r.columns) {
        column.loose_equality = true;
    }
    assert!(!held(loose));
}

#[test]
fn a_view_on_itself_is_refused() {
    assert_eq!(code("SELECT a FROM w"), "42P17");
}

#[test]
fn a_view_is_resolved_once_and_stays_the_same() {
    let catalog = Catalog::new(document()).unwrap();
    let first = resolved_in(&catalog, "SELECT a FROM v WHERE tenant_id = $1").unwrap();
    let second = resolved_in(&catalog, "SELECT a FROM v WHERE tenant_id = $1").unwrap();
    assert_eq!(first, second);
    assert_eq!(first[0].tenancy[0].relation.0, 1);
    assert!(first[0].tenancy[0].bounds.contains(&(3, Bound::Parameter(1))));
}

#[test]
fn what_would_take_too_long_is_refused() {
    // Each CTE doubles the one before.
    let mut doubling = "WITH c0 AS (SELECT a FROM t)".to_owned();
    for n in 1..40 {
        let before = n - 1;
        doubling.push_str(&format!(", c{n} AS (SELECT x.a FROM c{before} x, c{before} y)"));
    }
    assert_eq!(code(&format!("{doubling} SELECT a FROM c39")), "54001");
    let stars = format!("SELECT {} FROM {}", vec!["*"; 2000].join(","), tables(400));
    assert_eq!(code(&stars), "54001");
    let wide = format!("SELECT {} FROM t", vec!["a"; 6000].join(","));
    assert!(resolved(&wide).is_ok());
    let many = "SELECT a FROM t;".repeat(900);
    assert_eq!(resolved(&many).unwrap().len(), 900);
}

/// Prints what each costs, too.
#[test]
fn the_worst_statements_are_served_or_refused_as_too_costly() {
    let catalog = Catalog::new(document()).unwrap();
    let doubled = (1..40).map(|n| format!(", c{n} AS (SELECT x.a FROM c{0} x, c{0} y)", n - 1));
    let conjuncts: Vec<String> = (0..1500).map(|n| format!("t.a = ${}", n + 1)).collect();
    let pairs: Vec<String> = (0..390).map(|n| format!("t{n}.a = t{}.a", n + 1)).collect();
    for (what, sql) in [
        (
            "doubling",
            format!(
                "WITH c0 AS (SELECT a FROM t){} SELECT a FROM c39",
                doubled.collect::<String>()
            ),
        ),
        (
            "stars",
            format!("SELECT {} FROM {}", vec!["*"; 2000].join(","), tables(400)),
        ),
        ("columns", format!("SELECT {} FROM t", vec!["a"; 6900].join(","))),
        (
            "lookups",
            format!("SELECT {} FROM {}", vec!["t9.a"; 3000].join(","), tables(900)),
        ),
        (
            "conjuncts",
            format!("SELECT a FROM t WHERE {}", conjuncts.join(" AND ")),
        ),
        (
            "pairs",
            format!(
                "SELECT 1 FROM {} WHERE t0.a = $1 AND {}",
                tables(400),
                pairs.join(" AND ")
            ),
        ),
        (
            "views",
            format!("SELECT 1 FROM {}", tables(900).replace("t t", "v t")),
        ),
        (
            "unions",
            format!("SELECT a FROM t{}", " UNION SELECT c FROM u".repeat(900)),
        ),
        ("plus", format!("SELECT a{} FROM t", "+a".repeat(990))),
        (
            "usual",
            "SELECT t.a, u.c FROM t JOIN u ON u.a = t.a WHERE t.tenant_id = $1".to_owned(),
        ),
    ] {
        let _ = resolved_in(&catalog, &sql);
        let begun = std::time::Instant::now();
        let outcome = resolved_in(&catalog, &sql);
        let whole = begun.elapsed();
        let begun = std::time::Instant::now();
        let _ = crate::analyse(&sql, &SqlLimits::default());
        let parsed = begun.elapsed();
        let code = outcome.map_or_else(|error| error.code.as_str().to_owned(), |_| "served".to_owned());
        println!("{what}: {whole:?}, of analyse {parsed:?}, {code}");
        assert!(["served", "54001"].contains(&code.as_str()), "{what}: {code}");
        assert!(what != "usual" || code == "served", "{code}");
        assert!(what != "doubling" || code == "54001", "{code}");
    }
}

fn tables(count: usize) -> String {
    let tables: Vec<String> = (0..count).map(|n| format!("t t{n}")).collect();
    tables.join(",")
}

#[test]
fn depth_is_served_or_refused_and_never_overflows() {
    for (text, deepest) in [
        ("SELECT 1 FROM t WHERE (a = 1 @)", ("@", " + 1", 900)),
        ("SELECT @ FROM t", ("@", "f(", 190)),
        (
            "SELECT a FROM t @",
            ("@", " JOIN (SELECT a FROM u) USING (a)", 60),
        ),
        ("SELECT a FROM t @", ("@", " UNION SELECT a FROM u", 900)),
        ("SELECT a FROM @", ("@", "(SELECT a FROM ", 150)),
        ("SELECT CASE @ END FROM t", ("@", "WHEN a = 1 THEN b ", 500)),
    ] {
        let (mark, piece, count) = deepest;
        let inside = match piece {
            "f(" => format!("{}a{}", piece.repeat(count), ")".repeat(count)),
            "(SELECT a FROM " => format!("{}t{}", piece.repeat(count), ") s".repeat(count)),
            _ => piece.repeat(count),
        };
        let sql = text.replace(mark, &inside);
        assert!(resolved(&sql).is_ok(), "{piece}: {:?}", resolved(&sql));
        for more in [3, 30] {
            let sql = text.replace(mark, &inside.repeat(more));
            let _ = resolved(&sql);
        }
    }
}

#[test]
fn limits_and_syntax_errors_are_those_of_the_parser() {
    assert_eq!(code("SELECT FROM FROM"), "42601");
    assert_eq!(resolved("SELECT FROM FROM").unwrap_err().position, Some(13));
    assert_eq!(code(&format!("SELECT {}1", "(".repeat(10_000))), "54001");
    assert!(resolved("").unwrap().is_empty());
}

#[test]
fn the_text_is_analysed_in_the_same_breath() {
    let catalog = Catalog::new(document()).unwrap();
    let names = Names {
        catalog: &catalog,
        search_path: &[],
    };
    let (analysis, resolved) = analyse_and_resolve("SELECT a FROM t", &names, &SqlLimits::default()).unwrap();
    assert_eq!(
        analysis,
        crate::analyse("SELECT a FROM t", &SqlLimits::default()).unwrap()
    );
    // The table is in no schema that is searched.
    assert_eq!(resolved.unwrap_err().code.as_str(), "42P01");
}

proptest! {
    /// Whatever is put together from words of SQL is resolved or refused.
    #[test]
    fn nothing_makes_it_fail(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..30)) {
        let _ = resolved(&words.join(" "));
        let _ = resolved(&format!("SELECT {} FROM t", words.join(" ")));
        let _ = resolved(&format!("SELECT a FROM t WHERE {}", words.join(" ")));
    }
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "t",
    "u",
    "v",
    "a",
    "b",
    "*",
    ",",
    "(",
    ")",
    "t.a",
    "t.*",
    "=",
    "1",
    "'x'",
    "$1",
    "JOIN",
    "ON",
    "USING (a)",
    "UNION",
    "AS",
    "WITH x AS (SELECT a FROM t)",
    "x",
    "LATERAL",
    "f(a)",
    "IN",
    "EXISTS",
    "ORDER BY",
    "GROUP BY",
    "LIMIT 1",
    "INSERT INTO t",
    "VALUES (1)",
    "UPDATE t SET",
    "DELETE FROM t",
    "RETURNING",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "::int4",
    "CASE WHEN",
    "THEN",
    "END",
    "OVER ()",
    "(t).a",
    "ROW(t.*)",
    "ONLY",
];
