//! The Query Validator from outside: sealed envelopes in, sealed envelopes and records out.

mod attacks;
mod exchanges;
mod kit;
mod named;
mod pace;
mod policies;
mod signing_in;
mod speed;
mod tickets;
mod users;
