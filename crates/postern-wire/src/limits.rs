//! How long a client's messages may be.

/// Longest messages accepted from a client, by kind. Each is the highest value of the message's length
/// field in bytes, which counts itself (4) but not the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The packet before sign-in: StartupMessage, CancelRequest, SSLRequest, GSSENCRequest.
    pub startup_bytes: u32,
    /// Query.
    pub query_bytes: u32,
    /// Parse.
    pub parse_bytes: u32,
    /// Bind.
    pub bind_bytes: u32,
    /// CopyData.
    pub copy_data_bytes: u32,
    /// PasswordMessage, SASLInitialResponse, SASLResponse.
    pub password_bytes: u32,
    /// Every other message.
    pub other_bytes: u32,
}

impl Default for Limits {
    /// 10,000 bytes for start-up as in PostgreSQL; 1 MiB of SQL; 8 MiB of parameters; 4 MiB of CopyData;
    /// 8 KiB for a step of signing in; 16 KiB for the rest.
    fn default() -> Self {
        Limits {
            startup_bytes: 10_000,
            query_bytes: 1024 * 1024,
            parse_bytes: 1024 * 1024,
            bind_bytes: 8 * 1024 * 1024,
            copy_data_bytes: 4 * 1024 * 1024,
            password_bytes: 8 * 1024,
            other_bytes: 16 * 1024,
        }
    }
}
