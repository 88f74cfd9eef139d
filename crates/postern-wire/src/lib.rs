//! PostgreSQL's frontend/backend protocol, versions 3.0 and 3.2 (PostgreSQL manual, chapter "Frontend/Backend
//! Protocol"), as plain functions over byte slices.
//!
//! This crate is pure: it reads no socket, holds no buffer and keeps no state between two messages. It trusts
//! nothing it is given. Decoders borrow from their input, allocate nothing for a message (a start-up packet,
//! of at most [`Limits::startup_bytes`], is the exception), and refuse whatever PostgreSQL's own reading would
//! have to guess about: lengths that lie, missing terminators, bytes left over, counts that disagree.
//!
//! Not in it: which message may follow which (postern-inspect), SQL (postern-sql), TLS, and SCRAM.

mod backend;
mod encode;
mod encode_backend;
mod encode_frontend;
mod error;
mod frontend;
mod limits;
mod options;
mod reader;
mod rows;
mod startup;
mod tag;

pub use backend::{
    Authentication, BackendFrames, BackendMessage, CopyFormat, Fields, Mechanisms, ParameterDescription,
    TransactionStatus, backend_frame, backend_frames, decode_backend, error_text_lossy,
};
pub use encode::EncodeError;
pub use encode_backend::{
    Severity, put_authentication_ok, put_backend_key_data, put_bind_complete, put_close_complete,
    put_command_complete, put_copy_in_response, put_copy_out_response, put_data_row,
    put_empty_query_response, put_error, put_negotiate_protocol_version, put_no_data, put_notice,
    put_notification, put_parameter_description, put_parameter_status, put_parse_complete,
    put_portal_suspended, put_ready, put_refusal, put_row_description, put_sasl, put_sasl_continue,
    put_sasl_final,
};
pub use encode_frontend::{
    bind_tail, put_bind, put_cancel, put_close, put_copy_data, put_copy_done, put_copy_fail, put_describe,
    put_execute, put_flush, put_parse, put_password, put_query, put_sasl_initial, put_sasl_response,
    put_ssl_request, put_startup, put_sync, put_terminate,
};
pub use error::WireError;
pub use frontend::{
    BindValues, FrontendMessage, FrontendMessages, ParameterTypes, SaslInitial, Target, decode_frontend,
    decode_sasl_initial, frontend_frame, frontend_messages, sign_in_frame,
};
pub use limits::Limits;
pub use reader::Frame;
pub use rows::{DataRow, Field, RowDescription};
pub use startup::{FirstPacket, NEWEST_MINOR, Startup, first_packet};
pub use tag::{backend_tag, frontend_tag};

#[cfg(test)]
mod tests;
