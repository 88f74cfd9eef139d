//! Messages from PostgreSQL (PostgreSQL manual, "Message Formats", those marked B).
//!
//! Bulk data is scanned frame by frame: [`backend_frame`] only looks at tag and length, and
//! [`crate::DataRow::decode`] checks a row without decoding anything else.

use crate::WireError;
use crate::reader::{Frame, Reader, frame};
use crate::rows::{DataRow, RowDescription};
use crate::startup::CANCEL_KEY;
use crate::tag::backend_tag;
use postern_types::SqlState;

/// Where the session stands, as ReadyForQuery tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// Outside a transaction.
    Idle,
    /// Inside a transaction.
    InTransaction,
    /// Inside a transaction that failed; only its end will be accepted.
    Failed,
}

impl TransactionStatus {
    /// The byte that stands for it.
    pub fn byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        }
    }

    /// The status a byte stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(TransactionStatus::Idle),
            b'T' => Some(TransactionStatus::InTransaction),
            b'E' => Some(TransactionStatus::Failed),
            _ => None,
        }
    }
}

/// What PostgreSQL asks for, or says, while a client signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Signed in.
    Ok,
    /// The password in clear is wanted.
    CleartextPassword,
    /// The password as MD5 with this salt is wanted.
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// SASL is wanted, by one of these mechanisms.
    Sasl(Mechanisms<'a>),
    /// Next message of the SASL exchange.
    SaslContinue(&'a [u8]),
    /// Last message of the SASL exchange.
    SaslFinal(&'a [u8]),
    /// A way of signing in that Postern does not know (Kerberos, GSSAPI, SSPI …), by its number.
    Other(u32),
}

/// Names of SASL mechanisms, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a [u8]);

impl<'a> Mechanisms<'a> {
    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        // Decoding proved that each is UTF-8 and ends in NUL.
        self.0
            .split(|b| *b == 0)
            .filter_map(|name| std::str::from_utf8(name).ok())
            .filter(|name| !name.is_empty())
    }
}

/// Formats announced for a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// The COPY is binary.
    pub binary: bool,
    /// How many columns.
    pub columns: u16,
}

/// Parameter type OIDs of a described statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParameterDescription<'a>(&'a [[u8; 4]]);

impl<'a> ParameterDescription<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the statement has no parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The OIDs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// The fields of an ErrorResponse or NoticeResponse (PostgreSQL manual, "Error and Notice Message Fields").
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    fn decode(mut r: Reader<'a>) -> Result<Self, WireError> {
        let fields = Fields(r);
        while r.u8()? != 0 {
            r.cstr()?;
        }
        r.finish()?;
        Ok(fields)
    }

    /// Each field as (its code, its text), in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a str)> + use<'a> {
        let mut reader = self.0;
        std::iter::from_fn(move || match reader.u8().ok()? {
            0 => None,
            code => Some((code, reader.cstr().ok()?)),
        })
    }

    /// The first field with this code.
    pub fn get(&self, code: u8) -> Option<&'a str> {
        self.iter()
            .find(|(known, _)| *known == code)
            .map(|(_, text)| text)
    }

    /// The SQLSTATE, if there is one and it is well-formed.
    pub fn sqlstate(&self) -> Option<SqlState> {
        self.get(b'C').and_then(SqlState::parse)
    }

    /// The severity as PostgreSQL writes it in English: `ERROR`, `FATAL`, `NOTICE` …
    pub fn severity(&self) -> Option<&'a str> {
        self.get(b'V').or_else(|| self.get(b'S'))
    }

    /// The message.
    pub fn message(&self) -> Option<&'a str> {
        self.get(b'M')
    }
}

// Messages and details can quote rows, so only the SQLSTATE is shown.
impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fields({:?})", self.sqlstate())
    }
}

/// One message of PostgreSQL. Text is valid UTF-8 without NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendMessage<'a> {
    /// A step of signing in.
    Authentication(Authentication<'a>),
    /// What a CancelRequest needs.
    BackendKeyData {
        /// Process id.
        process_id: u32,
        /// Key, 4 to 256 bytes.
        key: &'a [u8],
    },
    /// A setting that drivers follow.
    ParameterStatus {
        /// Its name.
        name: &'a str,
        /// Its value now.
        value: &'a str,
    },
    /// The next exchange may begin.
    ReadyForQuery(TransactionStatus),
    /// Columns of the rows to come.
    RowDescription(RowDescription<'a>),
    /// One row.
    DataRow(DataRow<'a>),
    /// A statement is complete.
    CommandComplete {
        /// Command tag, such as `SELECT 1`.
        tag: &'a str,
    },
    /// The query string was empty.
    EmptyQueryResponse,
    /// Parse is complete.
    ParseComplete,
    /// Bind is complete.
    BindComplete,
    /// Close is complete.
    CloseComplete,
    /// What was described returns no rows.
    NoData,
    /// Parameters of a described statement.
    ParameterDescription(ParameterDescription<'a>),
    /// Execute reached its row limit.
    PortalSuspended,
    /// COPY FROM STDIN begins.
    CopyInResponse(CopyFormat),
    /// COPY TO STDOUT begins.
    CopyOutResponse(CopyFormat),
    /// Replication begins; never asked for.
    CopyBothResponse(CopyFormat),
    /// Data of COPY TO STDOUT.
    CopyData(&'a [u8]),
    /// End of COPY data.
    CopyDone,
    /// An error.
    ErrorResponse(Fields<'a>),
    /// A notice or warning.
    NoticeResponse(Fields<'a>),
    /// A NOTIFY on a channel that the session listens to.
    NotificationResponse {
        /// Process id of the session that notified.
        process_id: u32,
        /// Channel.
        channel: &'a str,
        /// Payload, maybe empty.
        payload: &'a str,
    },
    /// The server speaks less than was asked for.
    NegotiateProtocolVersion {
        /// Newest version the server speaks, major in the upper 16 bits.
        version: u32,
        /// How many protocol options it did not know.
        unknown_options: u32,
    },
    /// Answer to the obsolete function call interface; never asked for.
    FunctionCallResponse,
}

/// Cuts PostgreSQL's first message off `buf`; `None` when more bytes are needed. The tag and the length are
/// checked as soon as they are there. `max_bytes` bounds the length field.
///
/// # Errors
/// `UnknownTag`, `Length`, `TooLong`.
#[inline]
pub fn backend_frame(buf: &[u8], max_bytes: u32) -> Result<Option<Frame<'_>>, WireError> {
    frame(buf, |tag| {
        if is_backend_tag(tag) {
            Ok(("PostgreSQL", max_bytes))
        } else {
            Err(WireError::UnknownTag(tag))
        }
    })
}

fn is_backend_tag(tag: u8) -> bool {
    matches!(
        tag,
        b'R' | b'K'
            | b'2'
            | b'3'
            | b'C'
            | b'W'
            | b'd'
            | b'c'
            | b'G'
            | b'H'
            | b'D'
            | b'I'
            | b'E'
            | b'V'
            | b'v'
            | b'n'
            | b'N'
            | b'A'
            | b't'
            | b'S'
            | b'1'
            | b's'
            | b'Z'
            | b'T'
    )
}

/// The frames of a payload of whole messages. One that is cut short ends the iteration with an error; after
/// an error nothing more comes.
pub fn backend_frames(payload: &[u8], max_bytes: u32) -> BackendFrames<'_> {
    BackendFrames {
        rest: payload,
        max_bytes,
    }
}

/// Iterator of [`backend_frames`].
#[derive(Clone, Debug)]
pub struct BackendFrames<'a> {
    rest: &'a [u8],
    max_bytes: u32,
}

impl<'a> Iterator for BackendFrames<'a> {
    type Item = Result<Frame<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = backend_frame(self.rest, self.max_bytes).and_then(|f| f.ok_or(WireError::Incomplete));
        self.rest = match &frame {
            Ok(frame) => self.rest.get(frame.raw.len()..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(frame)
    }
}

/// Decodes one message of PostgreSQL in full.
///
/// # Errors
/// `UnknownTag`, `Malformed`, `Encoding`.
pub fn decode_backend<'a>(frame: &Frame<'a>) -> Result<BackendMessage<'a>, WireError> {
    use BackendMessage as M;
    let reader = |message| Reader::new(message, frame.body);
    match frame.tag {
        backend_tag::DATA_ROW => DataRow::decode(frame.body).map(M::DataRow),
        backend_tag::COPY_DATA => Ok(M::CopyData(frame.body)),
        backend_tag::COMMAND_COMPLETE => {
            let mut r = reader("CommandComplete");
            let tag = r.cstr()?;
            done(r, M::CommandComplete { tag })
        }
        backend_tag::READY_FOR_QUERY => {
            let mut r = reader("ReadyForQuery");
            let status = TransactionStatus::from_byte(r.u8()?)
                .ok_or_else(|| r.malformed("the transaction status is unknown"))?;
            done(r, M::ReadyForQuery(status))
        }
        backend_tag::ROW_DESCRIPTION => {
            RowDescription::decode(reader("RowDescription")).map(M::RowDescription)
        }
        backend_tag::PARAMETER_DESCRIPTION => parameter_description(reader("ParameterDescription")),
        backend_tag::ERROR_RESPONSE => Fields::decode(reader("ErrorResponse")).map(M::ErrorResponse),
        backend_tag::NOTICE_RESPONSE => Fields::decode(reader("NoticeResponse")).map(M::NoticeResponse),
        backend_tag::AUTHENTICATION => authentication(reader("Authentication")).map(M::Authentication),
        backend_tag::BACKEND_KEY_DATA => key_data(reader("BackendKeyData")),
        backend_tag::PARAMETER_STATUS => {
            let mut r = reader("ParameterStatus");
            let (name, value) = (r.cstr()?, r.cstr()?);
            done(r, M::ParameterStatus { name, value })
        }
        backend_tag::NOTIFICATION_RESPONSE => {
            let mut r = reader("NotificationResponse");
            let (process_id, channel, payload) = (r.u32()?, r.cstr()?, r.cstr()?);
            done(
                r,
                M::NotificationResponse {
                    process_id,
                    channel,
                    payload,
                },
            )
        }
        backend_tag::NEGOTIATE_PROTOCOL_VERSION => negotiate(reader("NegotiateProtocolVersion")),
        backend_tag::COPY_IN_RESPONSE => copy_format(reader("CopyInResponse")).map(M::CopyInResponse),
        backend_tag::COPY_OUT_RESPONSE => copy_format(reader("CopyOutResponse")).map(M::CopyOutResponse),
        backend_tag::COPY_BOTH_RESPONSE => copy_format(reader("CopyBothResponse")).map(M::CopyBothResponse),
        backend_tag::COPY_DONE => done(reader("CopyDone"), M::CopyDone),
        backend_tag::EMPTY_QUERY_RESPONSE => done(reader("EmptyQueryResponse"), M::EmptyQueryResponse),
        backend_tag::PARSE_COMPLETE => done(reader("ParseComplete"), M::ParseComplete),
        backend_tag::BIND_COMPLETE => done(reader("BindComplete"), M::BindComplete),
        backend_tag::CLOSE_COMPLETE => done(reader("CloseComplete"), M::CloseComplete),
        backend_tag::NO_DATA => done(reader("NoData"), M::NoData),
        backend_tag::PORTAL_SUSPENDED => done(reader("PortalSuspended"), M::PortalSuspended),
        backend_tag::FUNCTION_CALL_RESPONSE => Ok(M::FunctionCallResponse),
        other => Err(WireError::UnknownTag(other)),
    }
}

fn done<'a>(reader: Reader<'a>, message: BackendMessage<'a>) -> Result<BackendMessage<'a>, WireError> {
    reader.finish().map(|()| message)
}

fn parameter_description(mut r: Reader<'_>) -> Result<BackendMessage<'_>, WireError> {
    let count = usize::from(r.u16()?);
    let (types, left) = r.rest().as_chunks::<4>();
    if types.len() != count || !left.is_empty() {
        return Err(r.malformed("the number of parameters disagrees with its length"));
    }
    Ok(BackendMessage::ParameterDescription(ParameterDescription(types)))
}

fn key_data(mut r: Reader<'_>) -> Result<BackendMessage<'_>, WireError> {
    let process_id = r.u32()?;
    let key = r.rest();
    if !CANCEL_KEY.contains(&key.len()) {
        return Err(r.malformed("a cancel key has 4 to 256 bytes"));
    }
    Ok(BackendMessage::BackendKeyData { process_id, key })
}

fn authentication(mut r: Reader<'_>) -> Result<Authentication<'_>, WireError> {
    let step = match r.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => Authentication::Md5Password {
            salt: r.u32()?.to_be_bytes(),
        },
        10 => return mechanisms(r),
        11 => return Ok(Authentication::SaslContinue(r.rest())),
        12 => return Ok(Authentication::SaslFinal(r.rest())),
        other => return Ok(Authentication::Other(other)),
    };
    r.finish().map(|()| step)
}

fn mechanisms(mut r: Reader<'_>) -> Result<Authentication<'_>, WireError> {
    let list = r.rest();
    while !r.cstr()?.is_empty() {}
    r.finish()?;
    Ok(Authentication::Sasl(Mechanisms(list)))
}

fn copy_format(mut r: Reader<'_>) -> Result<CopyFormat, WireError> {
    let binary = match r.u8()? {
        0 => false,
        1 => true,
        _ => return Err(r.malformed("a format code is neither text nor binary")),
    };
    let columns = r.formats()?;
    r.finish()?;
    Ok(CopyFormat { binary, columns })
}

fn negotiate(mut r: Reader<'_>) -> Result<BackendMessage<'_>, WireError> {
    let (version, unknown_options) = (r.u32()?, r.u32()?);
    // Each option is at least its terminator, so a count that lies runs into the end of the message.
    for _ in 0..unknown_options {
        r.cstr()?;
    }
    done(
        r,
        BackendMessage::NegotiateProtocolVersion {
            version,
            unknown_options,
        },
    )
}

/// SQLSTATE and message of an ErrorResponse in whatever encoding, for errors from before the session's
/// encoding is settled, which PostgreSQL may write in that of its own locale. Bytes that are not UTF-8 are replaced.
pub fn error_text_lossy(frame: &Frame<'_>) -> (Option<SqlState>, String) {
    let mut reader = Reader::new("ErrorResponse", frame.body);
    let (mut code, mut message) = (None, String::new());
    while let Ok(field @ 1..) = reader.u8() {
        let Ok(text) = reader.cstr_bytes() else { break };
        match field {
            b'C' => code = std::str::from_utf8(text).ok().and_then(SqlState::parse),
            b'M' => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (code, message)
}
