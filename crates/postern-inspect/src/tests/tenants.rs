//! Keys of tenants, at any depth and in every disguise.

use super::*;
use proptest::prelude::*;

fn names() -> TenantNames {
    TenantNames::new(&TenantRules {
        columns: vec!["tenant".into(), "tenant_id".into(), "org-id".into()],
        ignore_roles: Vec::new(),
        refuse_null: false,
    })
}

fn check(value: &str, tenant: &str) -> bool {
    names()
        .check(&Tenant::new(Some(tenant), false), false, value.as_bytes())
        .is_ok()
}

#[test]
fn a_key_of_another_tenant_is_found_at_any_depth() {
    let foreign = [
        r#"{"tenant_id":"other"}"#,
        r#"{"tenant_id" : "other"}"#,
        "{\"tenant_id\"\n\t:\n \"other\"}",
        r#"[{"a":[[{"b":{"tenant_id":"other"}}]]}]"#,
        r#"{"tenant_id":"acme"},{"tenant_id":"other"}"#,
        r#"{"tenant":"acme","tenant_id":"other"}"#,
        r#"{"org-id":"other"}"#,
        // Written as escapes.
        r#"{"tenant\u005fid":"other"}"#,
        r#"{"\u0074\u0065\u006e\u0061\u006e\u0074":"other"}"#,
        r#"{"tenant_id":"\u006fther"}"#,
        // Prefixes and continuations of the own tenant.
        r#"{"tenant_id":"acme2"}"#,
        r#"{"tenant_id":"acm"}"#,
        r#"{"tenant_id":"acme\u0032"}"#,
        r#"{"tenant_id":"acme\\"}"#,
        r#"{"tenant_id":""}"#,
        // Other types.
        r#"{"tenant_id":7}"#,
        r#"{"tenant_id":true}"#,
        r#"{"tenant_id":{"id":"acme"}}"#,
        r#"{"tenant_id":["acme"]}"#,
        // A string in a string in a string.
        r#"{"payload":"{\"tenant_id\":\"other\"}"}"#,
        r#"{"payload":"{\"p\":\"{\\\"tenant_id\\\": \\\"other\\\"}\"}"}"#,
        r#"{"payload":"{\n  \"tenant_id\":\n \"other\"}"}"#,
        r#"{"payload":"{\"tenant\\u005fid\":\"other\"}"}"#,
        // An array of JSON, a row with JSON in it, hstore, XML.
        r#"{"{\"tenant_id\": \"other\"}"}"#,
        r#"(1,"{""tenant_id"": ""other""}")"#,
        r#""tenant_id"=>"other", "a"=>"b""#,
        r#""a"=>"b", "tenant_id"=>"other""#,
        "<row><tenant_id>other</tenant_id></row>",
        "<tenant_id>acme2</tenant_id>",
        "<tenant_id>acme",
    ];
    for value in foreign {
        assert!(!check(value, "acme"), "{value}");
    }
}

#[test]
fn what_is_the_own_tenants_or_no_key_passes() {
    let own = [
        r#"{"tenant_id":"acme"}"#,
        r#"{"tenant_id" :  "acme" , "b":1}"#,
        r#"{"tenant_id":null}"#,
        r#"{"tenant\u005fid":"\u0061cme"}"#,
        r#"{"payload":"{\"tenant_id\":\"acme\"}"}"#,
        r#"{"payload":"{\"p\":\"{\\\"tenant_id\\\": \\\"acme\\\"}\"}"}"#,
        r#"{"{\"tenant_id\": \"acme\"}"}"#,
        r#"(1,"{""tenant_id"": ""acme""}")"#,
        r#""tenant_id"=>"acme""#,
        r#""tenant_id"=>NULL"#,
        "<tenant_id>acme</tenant_id>",
        // No keys.
        r#"{"a":"tenant_id"}"#,
        r#"["tenant_id","other"]"#,
        r#"{"my_tenant_id":"other"}"#,
        r#"{"tenant_id2":"other"}"#,
        "the tenant_id: other",
        "tenant",
        r#"{"caf\u00e9":"x"}"#,
    ];
    for value in own {
        assert!(check(value, "acme"), "{value}");
    }
    assert!(check(r#"{"tenant_id":42}"#, "42"));
    assert!(!check(r#"{"tenant_id":42.0}"#, "42"));
    assert!(!check(r#"{"tenant_id":421}"#, "42"));
    assert!(check(r#"{"tenant_id":"m\u00fcller"}"#, "müller"));
    assert!(check(r#"{"tenant_id":"a\"b"}"#, "a\"b"));
}

#[test]
fn keys_of_binary_hstore_are_found() {
    let hstore = |value: Option<&str>| {
        let mut out = 1u32.to_be_bytes().to_vec();
        out.extend_from_slice(&9u32.to_be_bytes());
        out.extend_from_slice(b"tenant_id");
        match value {
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        }
        out
    };
    let tenant = Tenant::new(Some("acme"), false);
    let check = |value: &[u8]| names().check(&tenant, true, value);
    assert_eq!(check(&hstore(Some("acme"))), Ok(()));
    assert_eq!(check(&hstore(Some("other"))), Err(Foreign));
    assert_eq!(check(&hstore(None)), Ok(()));
    let whole = hstore(Some("acme"));
    for cut in 17..whole.len() {
        assert_eq!(check(&whole[..cut]), Err(Foreign), "cut at {cut}");
    }
}

#[test]
fn columns_are_compared_in_both_formats() {
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let bytes = [
        0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11,
    ];
    let seven = Tenant::new(Some("7"), false);
    let table: [(&Tenant<'_>, Kind, bool, &[u8], bool); 17] = [
        (&seven, Kind::Integer, false, b"7", true),
        (&seven, Kind::Integer, false, b"70", false),
        (&seven, Kind::Integer, true, &7i16.to_be_bytes(), true),
        (&seven, Kind::Integer, true, &7i32.to_be_bytes(), true),
        (&seven, Kind::Integer, true, &7i64.to_be_bytes(), true),
        (&seven, Kind::Integer, true, &8i64.to_be_bytes(), false),
        (&seven, Kind::Integer, true, b"7", false),
        (&seven, Kind::Text, false, b"7", true),
        (&seven, Kind::Text, true, b"7", true),
        (&seven, Kind::Padded, false, b"7     ", true),
        (&seven, Kind::Padded, false, b"70    ", false),
        (&seven, Kind::Numeric, true, b"7", false),
        (&seven, Kind::Uuid, true, &bytes, false),
        (
            &Tenant::new(Some(uuid), false),
            Kind::Uuid,
            false,
            uuid.as_bytes(),
            true,
        ),
        (&Tenant::new(Some(uuid), false), Kind::Uuid, true, &bytes, true),
        (
            &Tenant::new(Some("07"), false),
            Kind::Integer,
            true,
            &7i32.to_be_bytes(),
            false,
        ),
        (&Tenant::new(None, false), Kind::Text, false, b"", false),
    ];
    for (tenant, kind, binary, value, own) in table {
        let found = tenant.check(kind, binary, Some(value));
        assert_eq!(found.is_ok(), own, "{kind:?} {binary} {}", value.escape_ascii());
    }
    assert_eq!(seven.check(Kind::Integer, true, None), Ok(()));
    assert_eq!(
        Tenant::new(Some("7"), true).check(Kind::Integer, true, None),
        Err(Foreign)
    );
    assert_eq!(
        Tenant::new(None, false).check(Kind::Integer, true, None),
        Err(Foreign)
    );
}

#[test]
fn more_quoting_than_is_followed_is_not_trusted() {
    let deep = format!(r#"{{"tenant_id{}":"acme"}}"#, "\\".repeat(100));
    assert!(!check(&deep, "acme"));
}

/// JSON as PostgreSQL would print it, with a tenant somewhere in it.
fn document() -> impl Strategy<Value = (serde_json::Value, bool)> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| (serde_json::json!(n), false)),
        "[a-z\"\\\\é ]{0,8}".prop_map(|s| (serde_json::json!(s), false)),
        Just((serde_json::json!({"tenant_id": "acme"}), false)),
        Just((serde_json::json!({"tenant_id": "other", "a": 1}), true)),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| {
                let foreign = list.iter().any(|(_, foreign)| *foreign);
                (list.into_iter().map(|(value, _)| value).collect(), foreign)
            }),
            ("[a-z]{1,5}", inner.clone())
                .prop_map(|(key, (value, foreign))| { (serde_json::json!({ key: value }), foreign) }),
            // Inside a string.
            inner.prop_map(|(value, foreign)| (serde_json::json!(value.to_string()), foreign)),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_it_is_in_a_foreign_tenant_is_found_and_nothing_else(
        (value, foreign) in document(), pretty in any::<bool>()
    ) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        // Quotes in one another double their backslashes; beyond six levels nothing is trusted.
        prop_assume!(!text.contains(&"\\".repeat(31)));
        prop_assert_eq!(check(&text, "acme"), !foreign, "{}", text);
    }

    #[test]
    fn random_bytes_never_panic(
        value in prop::collection::vec(prop_oneof![
            Just(b"\"tenant_id\"".to_vec()), Just(b"\\u005f".to_vec()), Just(b"\\\"".to_vec()),
            Just(b":".to_vec()), Just(b"<tenant>".to_vec()), prop::collection::vec(any::<u8>(), 0..4),
        ], 0..20),
        binary in any::<bool>(),
    ) {
        let value = value.concat();
        let _ = names().check(&Tenant::new(Some("acme"), false), binary, &value);
    }
}
