use super::kit::*;
use crate::Users;
use postern_ledger::{Event, Outcome};
use postern_scram::client::{Binding, Client};
use postern_types::SessionId;
use postern_types::ring::{CleanBody, RequestBody, SignInAnswer};
use std::path::Path;

/// Every kind of request that carries a ticket.
fn requests(ticket: &[u8]) -> [RequestBody; 6] {
    [
        RequestBody::Exchange {
            ticket: ticket.to_vec(),
            definitions: Vec::new(),
            trace: None,
        },
        RequestBody::CopyData {
            ticket: ticket.to_vec(),
        },
        RequestBody::Grant {
            ticket: ticket.to_vec(),
            bytes: 1,
        },
        RequestBody::Cancel {
            ticket: ticket.to_vec(),
        },
        RequestBody::Probe {
            ticket: ticket.to_vec(),
        },
        RequestBody::Close {
            ticket: ticket.to_vec(),
        },
    ]
}

/// The request has no effect on the session that it names.
#[track_caller]
fn ignored(kit: &mut Kit, ticket: &[u8]) -> &'static str {
    for body in requests(ticket) {
        let payload = if matches!(body, RequestBody::Exchange { .. }) {
            query("select 1")
        } else {
            Vec::new()
        };
        let header = kit.header();
        assert!(kit.ask_under(&header, body, &payload).is_empty());
    }
    let last = kit.records.last().unwrap();
    assert_eq!(
        (last.event, last.result),
        (Event::EnvelopeRefused, Outcome::Refused)
    );
    last.reason.unwrap()
}

#[track_caller]
fn expelled(kit: &mut Kit, ticket: &[u8]) -> &'static str {
    for body in requests(ticket) {
        let payload = if matches!(body, RequestBody::Exchange { .. }) {
            query("select 1")
        } else {
            Vec::new()
        };
        let (clean, passed) = kit.ask(body, &payload);
        match clean {
            CleanBody::Expel(refusal) => assert!(refusal.fatal && refusal.code.as_str() == "28000"),
            other => panic!("{other:?}"),
        }
        assert!(passed.is_empty());
    }
    let last = kit.records.last().unwrap();
    assert_eq!((last.event, last.result), (Event::SessionClose, Outcome::Refused));
    last.reason.unwrap()
}

#[test]
fn a_ticket_opens_every_kind_of_request() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    for (body, expected) in [
        (
            RequestBody::CopyData {
                ticket: ticket.clone(),
            },
            CleanBody::CopyData,
        ),
        (
            RequestBody::Grant {
                ticket: ticket.clone(),
                bytes: 9,
            },
            CleanBody::Grant { bytes: 9 },
        ),
        (
            RequestBody::Cancel {
                ticket: ticket.clone(),
            },
            CleanBody::Cancel,
        ),
        (
            RequestBody::Probe {
                ticket: ticket.clone(),
            },
            CleanBody::Probe,
        ),
        (
            RequestBody::Close {
                ticket: ticket.clone(),
            },
            CleanBody::Close,
        ),
    ] {
        assert_eq!(kit.ask(body, &[]).0, expected);
    }
    assert!(matches!(
        kit.exchange(&ticket, &[], &query("select 1")),
        CleanBody::Run { .. }
    ));
}

#[test]
fn a_ticket_is_good_for_its_own_session_frontend_and_backend() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    kit.session = SessionId([6; 16]);
    assert_eq!(ignored(&mut kit, &ticket), "ticket-of-another-session");
    kit.session = SESSION;
    kit.from = "frontend-1".parse().unwrap();
    assert_eq!(ignored(&mut kit, &ticket), "ticket-of-another-frontend");
    kit.from = "frontend-0".parse().unwrap();
    kit.to = "backend-1".parse().unwrap();
    assert_eq!(ignored(&mut kit, &ticket), "ticket-of-another-backend");
    kit.to = "backend-0".parse().unwrap();
    assert!(matches!(
        kit.exchange(&ticket, &[], &query("select 1")),
        CleanBody::Run { .. }
    ));
}

#[test]
fn a_ticket_expires() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    kit.now = NOW + LIFETIME - 1;
    assert!(matches!(
        kit.exchange(&ticket, &[], &query("select 1")),
        CleanBody::Run { .. }
    ));
    kit.now = NOW + LIFETIME;
    assert_eq!(expelled(&mut kit, &ticket), "ticket-expired");
}

#[test]
fn what_is_not_a_ticket_is_none() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    assert_eq!(ignored(&mut kit, b""), "malformed");
    for at in [0, 4, 20, 80, ticket.len() - 1] {
        let mut forged = ticket.clone();
        forged[at] ^= 1;
        ignored(&mut kit, &forged);
    }
    // Sign-in state of the same session.
    let client = Client::new(Binding::None, "clientnonce").unwrap();
    let request = kit.request("ann", client.first_message(), None);
    let SignInAnswer::Continue { state, .. } = kit.step(request).0 else {
        panic!("refused");
    };
    assert_eq!(ignored(&mut kit, &state), "not-a-ticket");
}

#[test]
fn a_user_who_is_gone_or_changed_is_out() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let with = |line: &str| {
        let text = format!(
            "[users.ann]\nverifier = \"{}\"\n{line}",
            user("other", &[]).verifier
        );
        Users::parse(Path::new("users.toml"), &text).unwrap()
    };
    // A new password ends no session.
    kit.validator
        .set_users(with("roles = [\"app\"]\ntenant = \"acme\""));
    assert!(matches!(
        kit.exchange(&ticket, &[], &query("select 1")),
        CleanBody::Run { .. }
    ));
    kit.validator
        .set_users(with("roles = [\"app\"]\ntenant = \"other\""));
    assert_eq!(expelled(&mut kit, &ticket), "user-changed");
    kit.validator
        .set_users(with("roles = [\"owner\"]\ntenant = \"acme\""));
    assert_eq!(expelled(&mut kit, &ticket), "user-changed");
    kit.validator.set_users(Users::default());
    assert_eq!(expelled(&mut kit, &ticket), "user-gone");
}

#[test]
fn heartbeats_pass_without_a_session() {
    let mut kit = Kit::new();
    kit.session = SessionId::NONE;
    let (body, _) = kit.ask(RequestBody::Heartbeat, &[]);
    assert_eq!(
        body,
        CleanBody::Heartbeat {
            instance: FRONTEND_RUN
        }
    );
    assert!(kit.records.is_empty());
}
