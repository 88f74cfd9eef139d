//! Messages from a client (PostgreSQL manual, "Message Formats", those marked F).

use crate::reader::{Frame, Reader, frame};
use crate::tag::frontend_tag;
use crate::{Limits, WireError};
use std::fmt;

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

impl Target {
    /// The byte that stands for it in a message.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Target::Statement => b'S',
            Target::Portal => b'P',
        }
    }
}

/// Parameter type OIDs of a Parse; 0 is unspecified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ParameterTypes<'a>(&'a [[u8; 4]]);

impl<'a> ParameterTypes<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the Parse gave none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The OIDs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// One message of a client. Text is valid UTF-8 without NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FrontendMessage<'a> {
    /// Simple query.
    Query {
        /// One or more statements.
        sql: &'a str,
    },
    /// Prepare a statement.
    Parse {
        /// Name; empty for the unnamed statement.
        name: &'a str,
        /// The statement.
        sql: &'a str,
        /// Types of its parameters as far as the client gave them.
        parameter_types: ParameterTypes<'a>,
    },
    /// Make a portal of a prepared statement.
    Bind {
        /// Name of the portal; empty for the unnamed one.
        portal: &'a str,
        /// Name of the statement.
        statement: &'a str,
        /// Parameter formats, values and result formats as they came; checked in full (see [`BindValues`]).
        tail: &'a [u8],
    },
    /// Ask for the columns of a statement or portal.
    Describe {
        /// Statement or portal.
        target: Target,
        /// Its name.
        name: &'a str,
    },
    /// Run a portal.
    Execute {
        /// Its name.
        portal: &'a str,
        /// Most rows to return; 0 is no limit. At most 2^31 - 1.
        max_rows: u32,
    },
    /// Drop a statement or portal.
    Close {
        /// Statement or portal.
        target: Target,
        /// Its name.
        name: &'a str,
    },
    /// Send what there is.
    Flush,
    /// End of a run of extended-query messages.
    Sync,
    /// Data of COPY FROM STDIN.
    CopyData(&'a [u8]),
    /// End of COPY data.
    CopyDone,
    /// COPY failed on the client's side.
    CopyFail {
        /// The client's reason.
        reason: &'a str,
    },
    /// The client leaves.
    Terminate,
    /// PasswordMessage, SASLInitialResponse or SASLResponse; which of them depends on what was asked.
    Password(&'a [u8]),
    /// The obsolete function call interface; its body is not decoded because it is never served.
    FunctionCall,
}

// SQL text may hold literals, and the rest parameters or passwords: only kinds, names and sizes are shown.
impl fmt::Debug for FrontendMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontendMessage::Query { sql } => write!(f, "Query({} bytes)", sql.len()),
            FrontendMessage::Parse { name, sql, .. } => write!(f, "Parse({name:?}, {} bytes)", sql.len()),
            FrontendMessage::Bind {
                portal, statement, ..
            } => write!(f, "Bind({portal:?}, {statement:?})"),
            FrontendMessage::Describe { target, name } => write!(f, "Describe({target:?}, {name:?})"),
            FrontendMessage::Execute { portal, max_rows } => write!(f, "Execute({portal:?}, {max_rows})"),
            FrontendMessage::Close { target, name } => write!(f, "Close({target:?}, {name:?})"),
            FrontendMessage::Flush => f.write_str("Flush"),
            FrontendMessage::Sync => f.write_str("Sync"),
            FrontendMessage::CopyData(data) => write!(f, "CopyData({} bytes)", data.len()),
            FrontendMessage::CopyDone => f.write_str("CopyDone"),
            FrontendMessage::CopyFail { .. } => f.write_str("CopyFail"),
            FrontendMessage::Terminate => f.write_str("Terminate"),
            FrontendMessage::Password(data) => write!(f, "Password({} bytes)", data.len()),
            FrontendMessage::FunctionCall => f.write_str("FunctionCall"),
        }
    }
}

/// Kind and highest length of the message with this tag.
fn limit_of(tag: u8, limits: &Limits) -> Result<(&'static str, u32), WireError> {
    Ok(match tag {
        frontend_tag::QUERY => ("Query", limits.query_bytes),
        frontend_tag::PARSE => ("Parse", limits.parse_bytes),
        frontend_tag::BIND => ("Bind", limits.bind_bytes),
        frontend_tag::COPY_DATA => ("CopyData", limits.copy_data_bytes),
        frontend_tag::PASSWORD => ("password", limits.password_bytes),
        frontend_tag::DESCRIBE => ("Describe", limits.other_bytes),
        frontend_tag::EXECUTE => ("Execute", limits.other_bytes),
        frontend_tag::CLOSE => ("Close", limits.other_bytes),
        frontend_tag::FLUSH => ("Flush", limits.other_bytes),
        frontend_tag::SYNC => ("Sync", limits.other_bytes),
        frontend_tag::COPY_DONE => ("CopyDone", limits.other_bytes),
        frontend_tag::COPY_FAIL => ("CopyFail", limits.other_bytes),
        frontend_tag::TERMINATE => ("Terminate", limits.other_bytes),
        frontend_tag::FUNCTION_CALL => ("FunctionCall", limits.other_bytes),
        other => return Err(WireError::UnknownTag(other)),
    })
}

/// Cuts a client's first message off `buf`; `None` when more bytes are needed. Tag and length are checked as
/// soon as they are there, so that nobody waits, or reserves memory, for a message that will be refused.
///
/// # Errors
/// `UnknownTag`, `Length`, `TooLong`.
pub fn frontend_frame<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Frame<'a>>, WireError> {
    frame(buf, |tag| limit_of(tag, limits))
}

/// As [`frontend_frame`], for a client that has not signed in yet: only password messages and Terminate
/// have a place there.
///
/// # Errors
/// `UnknownTag`, `Length`, `TooLong`.
pub fn sign_in_frame<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Frame<'a>>, WireError> {
    frame(buf, |tag| match tag {
        frontend_tag::PASSWORD | frontend_tag::TERMINATE => limit_of(tag, limits),
        other => Err(WireError::UnknownTag(other)),
    })
}

/// Decodes one message of a client in full.
///
/// # Errors
/// `UnknownTag`, `Malformed`, `Encoding`.
pub fn decode_frontend<'a>(frame: &Frame<'a>) -> Result<FrontendMessage<'a>, WireError> {
    let reader = |message| Reader::new(message, frame.body);
    match frame.tag {
        frontend_tag::QUERY => {
            let mut r = reader("Query");
            let sql = r.cstr()?;
            done(r, FrontendMessage::Query { sql })
        }
        frontend_tag::PARSE => parse(reader("Parse")),
        frontend_tag::BIND => bind(reader("Bind")),
        frontend_tag::DESCRIBE => {
            let mut r = reader("Describe");
            let (target, name) = target_and_name(&mut r)?;
            done(r, FrontendMessage::Describe { target, name })
        }
        frontend_tag::CLOSE => {
            let mut r = reader("Close");
            let (target, name) = target_and_name(&mut r)?;
            done(r, FrontendMessage::Close { target, name })
        }
        frontend_tag::EXECUTE => {
            let mut r = reader("Execute");
            let portal = r.cstr()?;
            // PostgreSQL reads a negative row limit as none.
            let max_rows = u32::try_from(r.i32()?).unwrap_or(0);
            done(r, FrontendMessage::Execute { portal, max_rows })
        }
        frontend_tag::FLUSH => done(reader("Flush"), FrontendMessage::Flush),
        frontend_tag::SYNC => done(reader("Sync"), FrontendMessage::Sync),
        frontend_tag::COPY_DATA => Ok(FrontendMessage::CopyData(frame.body)),
        frontend_tag::COPY_DONE => done(reader("CopyDone"), FrontendMessage::CopyDone),
        frontend_tag::COPY_FAIL => {
            let mut r = reader("CopyFail");
            let reason = r.cstr()?;
            done(r, FrontendMessage::CopyFail { reason })
        }
        frontend_tag::TERMINATE => done(reader("Terminate"), FrontendMessage::Terminate),
        frontend_tag::PASSWORD => Ok(FrontendMessage::Password(frame.body)),
        frontend_tag::FUNCTION_CALL => Ok(FrontendMessage::FunctionCall),
        other => Err(WireError::UnknownTag(other)),
    }
}

fn done<'a>(reader: Reader<'a>, message: FrontendMessage<'a>) -> Result<FrontendMessage<'a>, WireError> {
    reader.finish().map(|()| message)
}

fn target_and_name<'a>(r: &mut Reader<'a>) -> Result<(Target, &'a str), WireError> {
    let target = match r.u8()? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        _ => return Err(r.malformed("it names neither a statement nor a portal")),
    };
    Ok((target, r.cstr()?))
}

fn parse(mut r: Reader<'_>) -> Result<FrontendMessage<'_>, WireError> {
    let name = r.cstr()?;
    let sql = r.cstr()?;
    let count = usize::from(r.u16()?);
    let (types, left) = r.rest().as_chunks::<4>();
    if types.len() != count || !left.is_empty() {
        return Err(r.malformed("the number of parameter types disagrees with its length"));
    }
    let parameter_types = ParameterTypes(types);
    Ok(FrontendMessage::Parse {
        name,
        sql,
        parameter_types,
    })
}

fn bind(mut r: Reader<'_>) -> Result<FrontendMessage<'_>, WireError> {
    let portal = r.cstr()?;
    let statement = r.cstr()?;
    let tail = r.rest();
    BindValues::new(tail)?;
    Ok(FrontendMessage::Bind {
        portal,
        statement,
        tail,
    })
}

/// The parameters of a Bind, seen through its `tail`.
#[derive(Clone, Copy)]
pub struct BindValues<'a> {
    formats: &'a [[u8; 2]],
    count: u16,
    values: Reader<'a>,
    result_formats: &'a [u8],
}

impl<'a> BindValues<'a> {
    /// Checks the tail of a Bind in full: every format is text or binary, there are as many parameter formats as
    /// parameters (or one, or none), every value lies inside the message, and nothing is left over.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn new(tail: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("Bind", tail);
        let mut at_formats = r;
        let format_count = r.formats()?;
        at_formats.u16()?;
        let (formats, _) = at_formats
            .take(usize::from(format_count).saturating_mul(2))?
            .as_chunks::<2>();
        let count = r.u16()?;
        if format_count > 1 && format_count != count {
            return Err(r.malformed("the number of parameter formats disagrees with that of parameters"));
        }
        let values = r;
        for _ in 0..count {
            r.value()?;
        }
        let result_formats = r.rest();
        r.formats()?;
        r.finish()?;
        Ok(BindValues {
            formats,
            count,
            values,
            result_formats,
        })
    }

    /// How many parameters.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The formats of the result with their count, as they came.
    pub fn result_formats(&self) -> &'a [u8] {
        self.result_formats
    }

    /// Each parameter as (is binary, value), where `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = (bool, Option<&'a [u8]>)> + use<'a> {
        let mut values = self.values;
        let formats = self.formats;
        (0..usize::from(self.count)).map_while(move |i| {
            let format = match formats {
                [one] => Some(one),
                several => several.get(i),
            };
            let binary = format.is_some_and(|f| u16::from_be_bytes(*f) == 1);
            Some((binary, values.value().ok()?))
        })
    }
}

/// A client's first SASL message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// Mechanism the client chose.
    pub mechanism: &'a str,
    /// Its first message, if it sent one with it.
    pub data: Option<&'a [u8]>,
}

/// Decodes the body of a password message as SASLInitialResponse.
///
/// # Errors
/// `Malformed`, `Encoding`.
pub fn decode_sasl_initial(body: &[u8]) -> Result<SaslInitial<'_>, WireError> {
    let mut r = Reader::new("SASLInitialResponse", body);
    let mechanism = r.cstr()?;
    let data = r.value()?;
    r.finish()?;
    Ok(SaslInitial { mechanism, data })
}

/// Decodes every message of a payload, each with its raw bytes. The payload must be whole messages: one that
/// is cut short ends the iteration with an error. After an error nothing more comes.
pub fn frontend_messages<'a>(payload: &'a [u8], limits: &Limits) -> FrontendMessages<'a> {
    FrontendMessages {
        rest: payload,
        limits: *limits,
    }
}

/// Iterator of [`frontend_messages`].
#[derive(Clone, Debug)]
pub struct FrontendMessages<'a> {
    rest: &'a [u8],
    limits: Limits,
}

impl<'a> FrontendMessages<'a> {
    fn advance(&mut self) -> Result<(FrontendMessage<'a>, &'a [u8]), WireError> {
        let frame = frontend_frame(self.rest, &self.limits)?.ok_or(WireError::Incomplete)?;
        let message = decode_frontend(&frame)?;
        self.rest = self.rest.get(frame.raw.len()..).unwrap_or_default();
        Ok((message, frame.raw))
    }
}

impl<'a> Iterator for FrontendMessages<'a> {
    type Item = Result<(FrontendMessage<'a>, &'a [u8]), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.advance();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}
