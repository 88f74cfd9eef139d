//! Gets a connection past the server's door, each time it is made, with what is in the files at that moment;
//! and says what is wrong when it does not get past.

use crate::config::Access;
use crate::sign_in::{Credential, SignIn};
use crate::tls::{Complaint, TlsConfig, TlsError};
use async_nats::{Auth, AuthError};
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The same complaint is logged no more often than this.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// Signs in one user at one server.
pub(crate) struct Authenticator {
    url: String,
    user: String,
    sign_in: SignIn,
    tls: Option<TlsConfig>,
    complaint: Complaint,
    /// What the files held when they were last used.
    used: AtomicU64,
    said: Mutex<Said>,
}

/// What the log was told last.
#[derive(Default)]
struct Said {
    text: String,
    at: Option<Instant>,
}

impl Authenticator {
    pub(crate) fn new(access: Access<'_>) -> Self {
        Authenticator {
            url: access.url.to_owned(),
            user: access.user.to_owned(),
            sign_in: access.sign_in.clone(),
            tls: access.tls.cloned(),
            complaint: Complaint::default(),
            used: AtomicU64::new(0),
            said: Mutex::default(),
        }
    }

    /// The server as it is called in the log: by the name it is pinned to, if there is one.
    pub(crate) fn server(&self) -> String {
        match &self.tls {
            Some(tls) => format!("{} at {}", tls.server_name, self.url),
            None => self.url.clone(),
        }
    }

    /// What the client needs for TLS, where there is to be any.
    pub(crate) fn tls(&self) -> Result<Option<rustls::ClientConfig>, TlsError> {
        self.tls
            .as_ref()
            .map(|tls| tls.client(&self.complaint))
            .transpose()
    }

    /// What the server is told on a new connection, from what is in the files now.
    pub(crate) fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let answer = self.sign_in.read().and_then(|credential| {
            self.used.store(self.mark(&credential), Ordering::Relaxed);
            // The server's clock is what counts, so it is asked all the same.
            if let Some(expired) = expired(&credential) {
                self.complaint
                    .make(format!("the JWT of `{}` {expired}", self.user));
            }
            credential.answer(&self.user, nonce)
        });
        answer.map_err(|error| {
            self.complaint.make(error.to_string());
            AuthError::new(error)
        })
    }

    /// Whether the files hold something else than the connection was made with, and something that is of use.
    pub(crate) fn has_news(&self) -> bool {
        match self.sign_in.read() {
            Err(error) => {
                self.say(&format!(
                    "new credentials can't be taken, the old ones stay in use: {error}"
                ));
                false
            }
            Ok(credential) if expired(&credential).is_some() => false,
            Ok(credential) => self.mark(&credential) != self.used.load(Ordering::Relaxed),
        }
    }

    /// A number that changes with the credential and with the client's certificate. Says nothing about them.
    fn mark(&self, credential: &Credential) -> u64 {
        let mut state = DefaultHasher::new();
        credential.mark(&mut state);
        if let Some(Ok(certificate)) = self.tls.as_ref().map(TlsConfig::own_certificate) {
            state.write(&certificate);
        }
        state.finish()
    }

    /// Tells the log why the last attempt failed; `error` is what the client made of it.
    pub(crate) fn report(&self, error: &str) {
        let text = match self.complaint.take() {
            Some(complaint) => complaint,
            None => self.explain(error),
        };
        self.say(&text);
    }

    /// What was said last, for who waits in vain.
    pub(crate) fn last_said(&self) -> String {
        self.said().text.clone()
    }

    /// The server ends the connection, or refuses something on it.
    pub(crate) fn refused(&self, error: &str) {
        if error.to_ascii_lowercase().contains("authentication expired") {
            self.say(&format!(
                "the credentials of `{}` have run out; `postern keys renew` makes new ones",
                self.user
            ));
        } else {
            tracing::error!(server = self.server(), user = self.user, error, "NATS refuses");
        }
    }

    /// What is wrong, from the client's own words for it.
    fn explain(&self, error: &str) -> String {
        let lower = error.to_ascii_lowercase();
        let user = &self.user;
        let own = match &self.tls {
            Some(tls) => format!("`{}`", tls.certificate_file.display()),
            None => "no certificate".to_owned(),
        };
        if lower.contains("authorization violation") {
            format!("it does not let `{user}` in: unknown, revoked, or with wrong credentials")
        } else if lower.contains("certificateexpired") {
            format!("it does not take the client certificate of `{user}` ({own}): expired or not yet valid")
        } else if lower.contains("unknownca") {
            format!("it does not take the client certificate of `{user}` ({own}): signed by another CA")
        } else if lower.contains("badcertificate") {
            // What older servers say of all three.
            format!(
                "it does not take the client certificate of `{user}` ({own}): signed by another CA, expired or not yet valid"
            )
        } else if lower.contains("received fatal alert") {
            format!("it does not take the client certificate of `{user}` ({own}): {error}")
        } else if lower.contains("invalidcontenttype") {
            format!(
                "what answers there speaks no TLS: look at url, and at who answers at that address ({error})"
            )
        } else {
            format!("it can't be reached: {error}")
        }
    }

    fn say(&self, text: &str) {
        let mut said = self.said();
        let again = said.text == text && said.at.is_some_and(|at| at.elapsed() < REPEAT_AFTER);
        if again {
            return;
        }
        tracing::error!(server = self.server(), user = self.user, "NATS server: {text}");
        *said = Said {
            text: text.to_owned(),
            at: Some(Instant::now()),
        };
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a credential has run out, if it has.
fn expired(credential: &Credential) -> Option<String> {
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let ago = now_s.checked_sub(credential.expires_at_s()?)?;
    Some(format!(
        "ran out {ago} s ago by this machine's clock; `postern keys renew` makes a new one"
    ))
}
