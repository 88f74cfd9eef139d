//! Types of slots, by name. Only types of PostgreSQL itself, whose OIDs never change.

use postern_sql::canonical::LiteralKind;

/// Names as PostgreSQL prints and takes them, and OIDs (PostgreSQL source, `pg_type.dat`). `any` leaves it to
/// the client.
const TYPES: [(&str, u32); 58] = [
    ("any", 0),
    ("bool", 16),
    ("boolean", 16),
    ("bytea", 17),
    ("char", 1042),
    ("bpchar", 1042),
    ("cidr", 650),
    ("date", 1082),
    ("float4", 700),
    ("real", 700),
    ("float8", 701),
    ("double precision", 701),
    ("inet", 869),
    ("int2", 21),
    ("smallint", 21),
    ("int4", 23),
    ("int", 23),
    ("integer", 23),
    ("int8", 20),
    ("bigint", 20),
    ("interval", 1186),
    ("json", 114),
    ("jsonb", 3802),
    ("macaddr", 829),
    ("money", 790),
    ("numeric", 1700),
    ("decimal", 1700),
    ("oid", 26),
    ("text", 25),
    ("time", 1083),
    ("timetz", 1266),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("uuid", 2950),
    ("varchar", 1043),
    ("xml", 142),
    ("bool[]", 1000),
    ("bytea[]", 1001),
    ("date[]", 1182),
    ("float4[]", 1021),
    ("float8[]", 1022),
    ("inet[]", 1041),
    ("int2[]", 1005),
    ("int4[]", 1007),
    ("int[]", 1007),
    ("integer[]", 1007),
    ("int8[]", 1016),
    ("bigint[]", 1016),
    ("interval[]", 1187),
    ("json[]", 199),
    ("jsonb[]", 3807),
    ("numeric[]", 1231),
    ("text[]", 1009),
    ("time[]", 1183),
    ("timestamp[]", 1115),
    ("timestamptz[]", 1185),
    ("uuid[]", 2951),
    ("varchar[]", 1015),
];

/// Whether a literal of this kind may be a parameter of the type that the policy names. A string may be
/// anything, as it may in PostgreSQL; a number must not become a text.
pub(super) fn takes(oid: u32, kind: LiteralKind) -> bool {
    const WHOLE: [u32; 4] = [20, 21, 23, 26];
    const NUMBERS: [u32; 3] = [700, 701, 1700];
    match kind {
        _ if oid == 0 => true,
        LiteralKind::Null | LiteralKind::String => true,
        LiteralKind::Boolean => oid == 16,
        LiteralKind::Integer | LiteralKind::BigInteger => WHOLE.contains(&oid) || NUMBERS.contains(&oid),
        LiteralKind::Numeric => NUMBERS.contains(&oid),
    }
}

/// The OIDs of a list of names.
pub(super) fn oids(value: &str) -> Result<Vec<u32>, String> {
    value
        .split(',')
        .map(|name| {
            let name = name.trim();
            TYPES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, oid)| *oid)
                .ok_or_else(|| {
                    format!(
                        "`{name}` is no type for a slot here; write a type of PostgreSQL itself such as int8, text, \
                         timestamptz or uuid[], or `any`, and for other types a cast in the statement"
                    )
                })
        })
        .collect()
}
