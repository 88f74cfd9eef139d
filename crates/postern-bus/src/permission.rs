//! Which NATS subjects a stage's credential needs, and no others (P2).
//!
//! A **reader** of a durable pull consumer publishes pull requests and acknowledgements for this one
//! consumer, and listens on its own inbox. It can't make, list, change, purge or copy anything, and can't
//! read another consumer.
//!
//! A **writer** publishes to its subject and listens on its own inbox, for the server's confirmations.
//!
//! Each connection uses the inbox `_INBOX.USER.>` instead of the shared `_INBOX.>`, so that one user can't
//! listen to what is meant for another.
//!
//! # What permissions do not stop
//!
//! A NATS server sends confirmations and messages to whatever reply subject a request names, in its own
//! name and without asking for permissions, also to its administration subjects. So a stage can have the
//! server send itself an administrative request, whose text it can't choose. Streams are therefore made
//! such that nobody can purge them or delete messages from them (seen to be possible otherwise, with 2.9.10
//! and 2.15.1). What remains: a hijacked reader can remove streams and consumers, which is denial of
//! service of a ring that it could as well stop by reading nothing. It gets no answer to such a request, so
//! it can read nothing. Provisioning again brings the ring back, which `postern up` does every two seconds.

use crate::name::{InvalidName, checked};

/// What one NATS user may do. All that is not listed is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects it may publish to.
    pub publish: Vec<String>,
    /// Subjects it may subscribe to.
    pub subscribe: Vec<String>,
}

impl Permissions {
    /// Both together, for a server that carries more than one hop of the same user.
    #[must_use]
    pub fn and(mut self, other: Permissions) -> Self {
        for subject in other.publish {
            if !self.publish.contains(&subject) {
                self.publish.push(subject);
            }
        }
        for subject in other.subscribe {
            if !self.subscribe.contains(&subject) {
                self.subscribe.push(subject);
            }
        }
        self
    }

    /// The value of `permissions` in a NATS server's configuration.
    pub fn to_nats_conf(&self) -> String {
        let list = |subjects: &[String]| match subjects {
            // An empty list would mean all.
            [] => "deny: \">\"".to_owned(),
            _ => {
                let quoted: Vec<_> = subjects.iter().map(|s| format!("\"{s}\"")).collect();
                format!("allow: [{}]", quoted.join(", "))
            }
        };
        format!(
            "{{ publish: {{ {} }}, subscribe: {{ {} }} }}",
            list(&self.publish),
            list(&self.subscribe)
        )
    }
}

/// What `user` needs to read `consumer` of `stream`.
///
/// # Errors
/// When one of the names is not a plain token.
pub fn reader_permissions(user: &str, stream: &str, consumer: &str) -> Result<Permissions, InvalidName> {
    let (stream, consumer) = (checked(stream)?, checked(consumer)?);
    Ok(Permissions {
        publish: vec![
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            format!("$JS.ACK.{stream}.{consumer}.>"),
        ],
        subscribe: vec![format!("{}.>", inbox(checked(user)?))],
    })
}

/// What `user` needs to write `subject`, which may end in the wildcard `.*`: the Query Validator writes
/// `clean-query.*`, one subject for each Backend.
///
/// # Errors
/// When the user or a part of the subject is not a plain token.
pub fn writer_permissions(user: &str, subject: &str) -> Result<Permissions, InvalidName> {
    for token in subject.strip_suffix(".*").unwrap_or(subject).split('.') {
        checked(token)?;
    }
    Ok(Permissions {
        publish: vec![subject.to_owned()],
        subscribe: vec![format!("{}.>", inbox(checked(user)?))],
    })
}

/// Prefix of the subjects on which a user gets its answers.
pub(crate) fn inbox(user: &str) -> String {
    format!("_INBOX.{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_widen_a_permission() {
        assert!(reader_permissions("u", "*", "c").is_err());
        assert!(reader_permissions("u", "s", ">").is_err());
        assert!(reader_permissions("u.>", "s", "c").is_err());
        assert!(writer_permissions("u", ">").is_err());
        assert!(writer_permissions("u", "*").is_err());
        assert!(writer_permissions("u", "$JS.API").is_err());
        assert!(writer_permissions("u", "a.*.b").is_err());
        assert!(writer_permissions("u", "clean-query.*").is_ok());
    }

    #[test]
    fn conf_lists_exactly_what_is_allowed() {
        let both = reader_permissions("u", "s", "c")
            .unwrap()
            .and(writer_permissions("u", "t").unwrap());
        assert_eq!(
            both.to_nats_conf(),
            "{ publish: { allow: [\"$JS.API.CONSUMER.MSG.NEXT.s.c\", \"$JS.ACK.s.c.>\", \"t\"] }, \
             subscribe: { allow: [\"_INBOX.u.>\"] } }"
        );
        assert_eq!(
            Permissions::default().to_nats_conf(),
            "{ publish: { deny: \">\" }, subscribe: { deny: \">\" } }"
        );
    }
}
