//! The messages that the tests put answers together from.

use postern_types::{Contract, CopyDirection, ErrorDetail, Expect, OverCap, StatementShape};

/// One backend message, as far as the protocol's order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// RowDescription of so many columns.
    Described(u16),
    /// DataRow of so many columns.
    Row(u16),
    /// ErrorResponse of severity ERROR.
    Error,
    /// ErrorResponse of severity FATAL.
    Fatal,
    /// NoticeResponse.
    Notice,
    /// ParameterStatus.
    Status,
    /// Every other message, by its type byte.
    Plain(u8),
}

use Message::{Described, Error, Fatal, Notice, Plain, Row, Status};

/// Every message once, with two numbers of columns.
pub(super) const ALL: [Message; 31] = [
    Described(1),
    Described(2),
    Row(1),
    Row(2),
    Error,
    Fatal,
    Notice,
    Status,
    Plain(b'1'),
    Plain(b'2'),
    Plain(b'3'),
    Plain(b'C'),
    Plain(b'G'),
    Plain(b'H'),
    Plain(b'I'),
    Plain(b'Z'),
    Plain(b'c'),
    Plain(b'd'),
    Plain(b'n'),
    Plain(b's'),
    Plain(b't'),
    Plain(b'A'),
    Plain(b'K'),
    Plain(b'R'),
    Plain(b'V'),
    Plain(b'W'),
    Plain(b'v'),
    Plain(b'q'),
    Plain(0),
    Plain(b'f'),
    Plain(b'Q'),
];

impl Message {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Described(columns) => framed(out, b'T', &description(columns)),
            Row(columns) => framed(out, b'D', &row(columns)),
            Error => framed(
                out,
                b'E',
                b"SERROR\0VERROR\0C42P01\0Mno such table\0P15\0Dsecret row\0\0",
            ),
            Fatal => framed(out, b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutting down\0\0"),
            Notice => framed(out, b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"),
            Status => framed(out, b'S', b"TimeZone\0Etc/UTC\0"),
            Plain(tag) => framed(out, tag, plain_body(tag)),
        }
    }
}

/// The wire form of all of `messages`.
pub(super) fn encode(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|message| message.put(&mut out));
    out
}

pub(super) fn framed(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
}

fn plain_body(tag: u8) -> &'static [u8] {
    match tag {
        b'C' => b"SELECT 1\0",
        b'Z' => b"I",
        b't' => b"\0\x01\0\0\0\x17",
        b'G' | b'H' | b'W' => b"\0\0\x01\0\0",
        b'd' => b"a line\n",
        b'A' => b"\0\0\0\x01channel\0payload\0",
        b'K' => b"\0\0\0\x01\0\0\0\x02",
        b'R' => b"\0\0\0\0",
        b'V' => b"\xff\xff\xff\xff",
        b'v' => b"\0\x03\0\0\0\0\0\0",
        _ => b"",
    }
}

fn description(columns: u16) -> Vec<u8> {
    let mut body = columns.to_be_bytes().to_vec();
    for _ in 0..columns {
        body.extend_from_slice(b"name\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    }
    body
}

fn row(columns: u16) -> Vec<u8> {
    let mut body = columns.to_be_bytes().to_vec();
    for column in 0..columns {
        body.extend_from_slice(if column % 2 == 0 {
            b"\0\0\0\x03abc"
        } else {
            b"\xff\xff\xff\xff"
        });
    }
    body
}

pub(super) const SILENT: StatementShape = StatementShape {
    rows: false,
    copy: None,
};
pub(super) const ROWS: StatementShape = StatementShape {
    rows: true,
    copy: None,
};
pub(super) const COPY_IN: StatementShape = StatementShape {
    rows: false,
    copy: Some(CopyDirection::In),
};
pub(super) const COPY_OUT: StatementShape = StatementShape {
    rows: false,
    copy: Some(CopyDirection::Out),
};

pub(super) fn execute(shape: StatementShape, max_rows: u32, described: bool) -> Expect {
    Expect::Execute {
        shape,
        max_rows,
        described,
    }
}

/// A contract that allows everything that the protocol does, but notifications.
pub(super) fn contract(steps: Vec<Expect>) -> Contract {
    Contract {
        user: "app".into(),
        tenant: None,
        steps,
        max_rows: None,
        max_bytes: None,
        error_detail: ErrorDetail::Full,
        notifications: false,
        roles: Vec::new(),
        over: OverCap::Refuse,
        statements: Vec::new(),
        rules: 0,
        trace: None,
    }
}
