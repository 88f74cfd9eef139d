//! Why an answer is refused.

/// An answer, or a part of one, that breaks the protocol or its contract. For records and logs: it holds
/// message types and counts, never contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The payload does not consist of whole messages.
    #[error("the part is cut inside a message")]
    Cut,
    /// The body of a message is not what its type says.
    #[error("malformed message {}", .tag.escape_ascii())]
    Malformed {
        /// Type byte of the message.
        tag: u8,
    },
    /// No message of this type exists, or none is ever part of an answer.
    #[error("message {} is never part of an answer", .tag.escape_ascii())]
    NeverAllowed {
        /// Type byte of the message.
        tag: u8,
    },
    /// The message is not legal at this point.
    #[error("message {} is out of turn at step {step}", .tag.escape_ascii())]
    OutOfTurn {
        /// Type byte of the message.
        tag: u8,
        /// Index of the step that the answer had reached.
        step: u32,
    },
    /// The answer was complete already.
    #[error("message {} after the end of the answer", .tag.escape_ascii())]
    AfterEnd {
        /// Type byte of the message.
        tag: u8,
    },
    /// A row has another number of columns than its description or the row before.
    #[error("a row of {found} columns where {expected} were described")]
    Columns {
        /// Columns described.
        expected: u16,
        /// Columns of the row.
        found: u16,
    },
    /// More rows than an Execute asked for, or a suspended portal with another number.
    #[error("the answer does not keep to the row limit {limit} of its Execute")]
    ExecuteLimit {
        /// The limit that the client set.
        limit: u32,
    },
    /// More rows than allowed.
    #[error("more than {limit} rows")]
    Rows {
        /// The cap.
        limit: u64,
    },
    /// More bytes of rows than allowed.
    #[error("more than {limit} bytes of rows")]
    Bytes {
        /// The cap, in bytes.
        limit: u64,
    },
    /// NotificationResponse for an exchange that allows none.
    #[error("a notification where none is allowed")]
    Notification,
    /// A setting that Postern relies on has another value.
    #[error("the database reports another value for a setting that is pinned")]
    PinnedSetting,
    /// The columns of rows, or of a COPY, are not known, and rules go by columns.
    #[error("rows whose columns are not known, while rules go by columns")]
    Undescribed,
    /// A column of which is not known what it is made of, while columns are masked.
    #[error("a column of unknown origin, while columns are masked")]
    Origin,
    /// A column that is computed from a masked one, which the rules refuse.
    #[error("a column that is computed from a masked one")]
    Derived,
    /// A row of another tenant.
    #[error("a value of another tenant")]
    ForeignTenant,
    /// A detector or a honey token that stops answers.
    #[error("{what} in a value")]
    Found {
        /// Fixed name of what was found.
        what: &'static str,
    },
    /// CopyData that is not one row in the form of its COPY.
    #[error("COPY data that is not a row of the form it was announced in")]
    CopyForm,
    /// A value that is to be recorded can't be: there is no key.
    #[error("a value that can't be recorded")]
    NotRecorded,
    /// Telling less made the part larger: it is made of messages that PostgreSQL does not send.
    #[error("the part is larger after it was scrubbed")]
    Grown,
}

impl Violation {
    /// A fixed name for records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Violation::Cut => "answer-cut",
            Violation::Malformed { .. } => "answer-malformed",
            Violation::NeverAllowed { .. } => "answer-message-never-allowed",
            Violation::OutOfTurn { .. } => "answer-out-of-turn",
            Violation::AfterEnd { .. } => "answer-after-end",
            Violation::Columns { .. } => "answer-columns",
            Violation::ExecuteLimit { .. } => "answer-execute-limit",
            Violation::Rows { .. } => "answer-row-cap",
            Violation::Bytes { .. } => "answer-byte-cap",
            Violation::Notification => "answer-notification",
            Violation::PinnedSetting => "answer-pinned-setting",
            Violation::Undescribed => "answer-undescribed",
            Violation::Origin => "answer-unknown-origin",
            Violation::Derived => "answer-derived",
            Violation::ForeignTenant => "answer-foreign-tenant",
            Violation::Found { what } => what,
            Violation::CopyForm => "answer-copy-form",
            Violation::NotRecorded => "answer-not-recorded",
            Violation::Grown => "answer-grown",
        }
    }

    /// The answer is well-formed and asks for more than was allowed; otherwise it is none that PostgreSQL gives.
    pub fn is_policy(self) -> bool {
        matches!(
            self,
            Violation::Rows { .. }
                | Violation::Bytes { .. }
                | Violation::Notification
                | Violation::Undescribed
                | Violation::Origin
                | Violation::Derived
                | Violation::ForeignTenant
                | Violation::Found { .. }
        )
    }
}
