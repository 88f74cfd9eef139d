//! What the type of a column means for masks and searches (OIDs of `pg_type.dat`, which never change).

/// First OID of an object that a user made.
pub(crate) const FIRST_USER_OID: u32 = 16384;

/// A type, as far as rules tell types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, the same in both formats.
    Text,
    /// `character(n)`: text filled up with spaces.
    Padded,
    /// json.
    Json,
    /// jsonb: in binary format the same text after a byte of its own.
    Jsonb,
    /// int2, int4, int8.
    Integer,
    /// float4, float8.
    Float,
    /// numeric.
    Numeric,
    /// date.
    Date,
    /// timestamp and timestamptz.
    Timestamp,
    /// uuid.
    Uuid,
    /// bytea.
    Bytes,
    /// A type of fixed width in which nothing can hide: bool, oid, time and the like.
    Fixed,
    /// Everything else: arrays, records, ranges, and types that users made.
    Other,
}

impl Kind {
    /// Of the type with this OID.
    pub(crate) fn of(oid: u32) -> Kind {
        match oid {
            25 | 1043 | 19 | 18 | 705 | 2275 => Kind::Text,
            1042 => Kind::Padded,
            114 => Kind::Json,
            3802 => Kind::Jsonb,
            20 | 21 | 23 => Kind::Integer,
            700 | 701 => Kind::Float,
            1700 => Kind::Numeric,
            1082 => Kind::Date,
            1114 | 1184 => Kind::Timestamp,
            2950 => Kind::Uuid,
            17 => Kind::Bytes,
            // bool, oid, xid, cid, tid, xid8, pg_lsn, time, timetz, interval, void.
            16 | 26 | 28 | 29 | 27 | 5069 | 3220 | 1083 | 1266 | 1186 | 2278 => Kind::Fixed,
            _ => Kind::Other,
        }
    }

    /// Whether a value may contain text that somebody wrote, and so anything.
    pub(crate) fn is_searched(self) -> bool {
        match self {
            Kind::Text
            | Kind::Padded
            | Kind::Json
            | Kind::Jsonb
            | Kind::Integer
            | Kind::Numeric
            | Kind::Other => true,
            Kind::Float | Kind::Date | Kind::Timestamp | Kind::Uuid | Kind::Bytes | Kind::Fixed => false,
        }
    }

    /// Whether any text is a value of the type.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Padded)
    }

    /// Whether its values are JSON.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Kind::Json | Kind::Jsonb)
    }
}
