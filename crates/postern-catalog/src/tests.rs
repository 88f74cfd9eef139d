use super::*;

fn relation(oid: u32, name: &str, parents: &[u32]) -> Relation {
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        columns: vec![Column {
            number: 1,
            name: "id".to_owned(),
            type_oid: 23,
            loose_equality: false,
        }],
        row_type: 0,
        parents: parents.to_vec(),
        partition: false,
        definition: None,
        row_security: false,
        row_security_forced: false,
        security_invoker: false,
        instead_of_triggers: false,
        rules: Vec::new(),
        keys: Vec::new(),
        memo: Memo::default(),
    }
}

fn document(relations: Vec<Relation>) -> Document {
    Document {
        version: FORMAT_VERSION,
        server_version: 150_000,
        database: "demo".to_owned(),
        schemas: vec!["public".to_owned()],
        relations,
        functions: Vec::new(),
        types: Vec::new(),
        operators: Vec::new(),
        casts: Vec::new(),
        foreign_keys: Vec::new(),
    }
}

fn broken(document: Document) -> String {
    match Catalog::new(document) {
        Err(CatalogError::Broken(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read_again() {
    let catalog = Catalog::new(document(vec![relation(2, "b", &[1]), relation(1, "a", &[])])).unwrap();
    let text = catalog.to_json();
    let again = Catalog::from_json(text.as_bytes()).unwrap();
    assert_eq!(again.document(), catalog.document());
    assert_eq!(again.to_json(), text);
    // One line for each object, in the order of names.
    assert!(
        text.contains("\n{\"oid\":1,\"schema\":\"public\",\"name\":\"a\""),
        "{text}"
    );
    assert!(catalog.changes_since(&again).is_empty());
}

#[test]
fn other_formats_and_unknown_fields_are_refused() {
    let mut old = document(Vec::new());
    old.version = 0;
    assert_eq!(Catalog::new(old).unwrap_err(), CatalogError::Version { found: 0 });
    let text = Catalog::new(document(Vec::new())).unwrap().to_json();
    let more = text.replacen("\"version\"", "\"secret\":1,\n\"version\"", 1);
    assert!(matches!(
        Catalog::from_json(more.as_bytes()),
        Err(CatalogError::Json { line: 2, .. })
    ));
}

#[test]
fn descendants_are_found_at_any_distance() {
    let catalog = Catalog::new(document(vec![
        relation(1, "a", &[]),
        relation(2, "b", &[1]),
        relation(3, "c", &[2]),
        relation(4, "d", &[1, 3]),
    ]))
    .unwrap();
    assert_eq!(catalog.descendants(1), [2, 3, 4]);
    assert_eq!(catalog.descendants(4), [0; 0]);
    assert_eq!(catalog.ancestors(4), [1, 2, 3]);
}

#[test]
fn contradictions_are_refused() {
    assert!(broken(document(vec![relation(1, "a", &[2]), relation(2, "b", &[1])])).contains("itself"));
    assert!(broken(document(vec![relation(1, "a", &[7])])).contains("not there"));
    assert!(broken(document(vec![relation(1, "a", &[]), relation(1, "b", &[])])).contains("OID 1"));
    assert!(broken(document(vec![relation(1, "a", &[]), relation(2, "a", &[])])).contains("twice"));
}

#[test]
fn changes_are_told_by_name_and_not_by_oid() {
    let before = Catalog::new(document(vec![relation(1, "a", &[]), relation(2, "gone", &[])])).unwrap();
    let mut a = relation(11, "a", &[]);
    a.row_security = true;
    let after = Catalog::new(document(vec![a, relation(12, "new", &[])])).unwrap();
    let changes = after.changes_since(&before);
    assert_eq!(changes.added, ["table public.new"]);
    assert_eq!(changes.removed, ["table public.gone"]);
    assert_eq!(changes.changed, ["table public.a"]);
    let restored = Catalog::new(document(vec![relation(21, "a", &[]), relation(22, "gone", &[])])).unwrap();
    assert!(restored.changes_since(&before).is_empty());
}

#[test]
fn a_function_takes_what_its_defaults_and_variadic_allow() {
    let function = |arguments: usize, defaults: u16, variadic: u32| Function {
        oid: 1,
        schema: "public".to_owned(),
        name: "f".to_owned(),
        kind: FunctionKind::Plain,
        volatility: Volatility::Stable,
        security_definer: false,
        language: "sql".to_owned(),
        arguments: vec![23; arguments],
        defaults,
        variadic,
        result: 23,
        returns_set: false,
        outputs: Vec::new(),
    };
    let counts = |f: Function| (0..6).filter(|n| f.takes(*n)).collect::<Vec<_>>();
    assert_eq!(counts(function(2, 0, 0)), [2]);
    assert_eq!(counts(function(3, 2, 0)), [1, 2, 3]);
    assert_eq!(counts(function(2, 0, 23)), [1, 2, 3, 4, 5]);
    assert_eq!(counts(function(0, 0, 0)), [0]);
}

#[test]
fn system_columns_belong_to_what_has_rows() {
    let mut table = relation(1, "a", &[]);
    assert_eq!(table.system_column("ctid"), Some((-1, 27)));
    assert_eq!(table.column_name(-6), Some("tableoid"));
    assert_eq!(table.column_name(1), Some("id"));
    table.kind = RelationKind::View;
    assert_eq!(table.system_column("ctid"), None);
}
