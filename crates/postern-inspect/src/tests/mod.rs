//! Tests of the state machine, against an oracle that is written as a grammar.

mod accepted;
mod built;
mod message;
mod oracle;
mod refused;
mod ruled;
mod scrubbed;
