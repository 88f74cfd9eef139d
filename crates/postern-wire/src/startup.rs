//! The first packet of a connection, which has no tag (PostgreSQL manual, "Start-up" and "Message Formats").

use crate::options;
use crate::reader::{Reader, check_length};
use crate::{Limits, WireError};

pub(crate) const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
pub(crate) const CANCEL_REQUEST: u32 = 80_877_102;

/// Newest minor version of protocol 3 that Postern speaks.
pub const NEWEST_MINOR: u16 = 2;

/// Shortest and longest cancel key in bytes. Protocol 3.0 knows only keys of 4 bytes.
pub(crate) const CANCEL_KEY: std::ops::RangeInclusive<usize> = 4..=256;

/// What a client's first packet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstPacket<'a> {
    /// Go on under TLS? Answered with one byte, `S` or `N`.
    SslRequest,
    /// Go on under GSSAPI encryption? Answered with one byte, `N`.
    GssEncRequest,
    /// Cancel what another connection is running.
    Cancel {
        /// Process id from that connection's BackendKeyData.
        process_id: u32,
        /// Key from that connection's BackendKeyData, 4 to 256 bytes. Compare it in constant time.
        key: &'a [u8],
    },
    /// Begin a session.
    Startup(Startup),
}

/// A StartupMessage of protocol 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// Minor protocol version asked for; may be newer than [`NEWEST_MINOR`].
    pub minor: u16,
    /// User name; never empty.
    pub user: String,
    /// Database; the user's name when the client gave none.
    pub database: String,
    /// The settings in the order in which they count, later ones over earlier ones: those of `options`,
    /// then the packet's own.
    pub parameters: Vec<(String, String)>,
    /// Names of protocol options (`_pq_.*`). Postern knows none of them.
    pub unknown_protocol_options: Vec<String>,
    /// A replication connection is asked for.
    pub replication: bool,
}

impl Startup {
    /// The minor version that is spoken.
    pub fn negotiated_minor(&self) -> u16 {
        self.minor.min(NEWEST_MINOR)
    }

    /// Whether the client must be told by NegotiateProtocolVersion that it gets less than it asked for.
    pub fn needs_negotiation(&self) -> bool {
        self.minor > NEWEST_MINOR || !self.unknown_protocol_options.is_empty()
    }
}

/// Decodes the first packet in `buf` and says how many bytes it took; `None` when more bytes are needed.
/// The length is checked as soon as it is there. Every error ends the connection.
///
/// # Errors
/// `Length`, `TooLong`, `UnsupportedProtocol`, `BadStartup`, `StartupEncoding`, `NoUser`, `BadParameter`.
pub fn first_packet<'a>(
    buf: &'a [u8],
    limits: &Limits,
) -> Result<Option<(FirstPacket<'a>, usize)>, WireError> {
    let Some(length) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    check_length("start-up", length, 8, limits.startup_bytes)?;
    let total = usize::try_from(length).map_err(|_| WireError::Length { length })?;
    let Some(packet) = buf.get(..total) else {
        return Ok(None);
    };
    let Some((code, body)) = packet.get(4..).and_then(<[u8]>::split_first_chunk::<4>) else {
        return Err(WireError::BadStartup("it is too short"));
    };
    let decoded = match u32::from_be_bytes(*code) {
        SSL_REQUEST => empty(body, FirstPacket::SslRequest)?,
        GSSENC_REQUEST => empty(body, FirstPacket::GssEncRequest)?,
        CANCEL_REQUEST => cancel(body)?,
        version => startup(version, body).map(FirstPacket::Startup)?,
    };
    Ok(Some((decoded, total)))
}

fn empty<'a>(body: &[u8], packet: FirstPacket<'a>) -> Result<FirstPacket<'a>, WireError> {
    if body.is_empty() {
        Ok(packet)
    } else {
        Err(WireError::BadStartup("bytes are left over at its end"))
    }
}

fn cancel(body: &[u8]) -> Result<FirstPacket<'_>, WireError> {
    let (process_id, key) = body
        .split_first_chunk::<4>()
        .ok_or(WireError::BadStartup("a cancel request has no key"))?;
    if !CANCEL_KEY.contains(&key.len()) {
        return Err(WireError::BadStartup("a cancel key has 4 to 256 bytes"));
    }
    let process_id = u32::from_be_bytes(*process_id);
    Ok(FirstPacket::Cancel { process_id, key })
}

fn startup(version: u32, body: &[u8]) -> Result<Startup, WireError> {
    let [major_high, major_low, minor_high, minor_low] = version.to_be_bytes();
    let major = u16::from_be_bytes([major_high, major_low]);
    let minor = u16::from_be_bytes([minor_high, minor_low]);
    if major != 3 {
        return Err(WireError::UnsupportedProtocol { major, minor });
    }
    sort_out(minor, pairs(body)?)
}

/// The (name, value) pairs of the packet, without repeats.
fn pairs(body: &[u8]) -> Result<Vec<(&str, &str)>, WireError> {
    let mut reader = Reader::new("start-up", body);
    let mut text = || {
        let bytes = reader
            .cstr_bytes()
            .map_err(|_| WireError::BadStartup("a string has no terminator"))?;
        std::str::from_utf8(bytes).map_err(|_| WireError::StartupEncoding)
    };
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    loop {
        let name = text()?;
        if name.is_empty() {
            break;
        }
        let value = text()?;
        // Which of two values counts is for nobody to guess; setting names know no case.
        if pairs.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(WireError::BadStartup("a parameter is given twice"));
        }
        if pairs.len() >= MAX_PAIRS {
            return Err(WireError::BadStartup("it has too many parameters"));
        }
        pairs.push((name, value));
    }
    reader
        .finish()
        .map_err(|_| WireError::BadStartup("bytes are left over at its end"))?;
    Ok(pairs)
}

/// Most parameters in one packet; drivers send fewer than ten.
const MAX_PAIRS: usize = 128;

fn sort_out(minor: u16, pairs: Vec<(&str, &str)>) -> Result<Startup, WireError> {
    let (mut user, mut database, mut replication) = ("", "", false);
    let (mut from_options, mut own) = (Vec::new(), Vec::new());
    let mut unknown_protocol_options = Vec::new();
    for (name, value) in pairs {
        match name {
            "user" => user = value,
            "database" => database = value,
            "options" => from_options = options::split(value)?,
            "replication" => replication = asks_for_replication(value)?,
            _ if name.starts_with("_pq_.") => unknown_protocol_options.push(name.to_owned()),
            _ => {
                options::check_name(name)?;
                own.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    if user.is_empty() {
        return Err(WireError::NoUser);
    }
    let database = if database.is_empty() { user } else { database };
    from_options.extend(own);
    Ok(Startup {
        minor,
        user: user.to_owned(),
        database: database.to_owned(),
        parameters: from_options,
        unknown_protocol_options,
        replication,
    })
}

fn asks_for_replication(value: &str) -> Result<bool, WireError> {
    match value.to_ascii_lowercase().as_str() {
        "database" | "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(WireError::BadParameter(
            "replication is neither a Boolean nor \"database\"",
        )),
    }
}
