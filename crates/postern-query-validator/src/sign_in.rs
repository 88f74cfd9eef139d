//! Signing in: SCRAM with the verifiers of `users.toml`, step by step and without memory between the steps.

use crate::record;
use crate::stage::Validator;
use crate::ticket::{self, NotOurs, Purpose};
use crate::users::User;
use postern_envelope::{Header, Opened};
use postern_scram::server::{self, Accepted};
use postern_scram::{Mechanism, ScramError, Verifier};
use postern_types::ring::{OpenSession, Request, SignIn, SignInAnswer};
use postern_types::{Refusal, Slot, SqlState, Ticket};
use serde::{Deserialize, Serialize};

/// How long the client has between two steps.
const STEP_MS: u64 = 30_000;

/// What the second step needs of the first. Everything that the first step was about is in it, so that the
/// second can't be about something else.
#[derive(Serialize, Deserialize)]
struct HalfWay {
    frontend: Slot,
    backend: Slot,
    /// The first step's request, without its message and state.
    about: SignIn,
    scram: server::ServerState,
}

/// What comes of one step.
pub(crate) struct Step {
    pub(crate) answer: SignInAnswer,
    pub(crate) open: Option<OpenSession>,
    /// Roles of who was accepted.
    pub(crate) roles: Vec<String>,
    /// Why it was refused, or what is remarkable about it, for the ledger.
    pub(crate) reason: Option<&'static str>,
}

/// A refusal, and why, for the ledger.
struct Refused(Refusal, &'static str);

impl From<Refused> for Step {
    fn from(Refused(refusal, reason): Refused) -> Step {
        Step {
            answer: SignInAnswer::Refused(refusal),
            open: None,
            roles: Vec::new(),
            reason: Some(reason),
        }
    }
}

/// The part of a request that must be the same in both steps.
fn about(sign_in: &SignIn) -> SignIn {
    SignIn {
        message: Vec::new(),
        state: None,
        ..sign_in.clone()
    }
}

impl Validator {
    /// One step of signing in.
    pub(crate) fn sign_in(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        sign_in: &SignIn,
        now_ms: u64,
    ) -> Step {
        let step = match &sign_in.state {
            None => self.first_step(&opened.header, request, sign_in, now_ms),
            Some(state) => self.second_step(opened, request, sign_in, state, now_ms),
        };
        step.unwrap_or_else(Step::from)
    }

    /// The verifier to check against: a mock for a user that does not exist.
    fn verifier(&self, user: &str, now_ms: u64) -> Verifier {
        let known = self.users.get(user).map(|user| user.verifier_at(now_ms));
        Verifier::known_or_mock(known, &self.settings.mock_secret, user)
    }

    fn first_step(
        &mut self,
        header: &Header,
        request: &Request,
        sign_in: &SignIn,
        now_ms: u64,
    ) -> Result<Step, Refused> {
        let failed = |error: ScramError| Refused(error.refusal(&sign_in.user), "scram-first");
        let mechanism = Mechanism::parse(&sign_in.mechanism)
            .ok_or_else(|| failed(ScramError::Unsupported("this SASL mechanism")))?;
        // Channel binding is offered under TLS only; what the client says of it is checked against that.
        let mut end_points = self.settings.end_points.at(now_ms);
        if !sign_in.tls {
            end_points.clear();
        }
        let nonce = (self.settings.nonce)().map_err(failed)?;
        let verifier = self.verifier(&sign_in.user, now_ms);
        let (message, scram) =
            server::first(mechanism, &sign_in.message, &end_points, &nonce, &verifier).map_err(failed)?;
        let half_way = HalfWay {
            frontend: request.frontend.clone(),
            backend: request.backend.clone(),
            about: about(sign_in),
            scram,
        };
        let deadline_ms = now_ms.saturating_add(STEP_MS);
        let state = ticket::seal(
            &mut self.keys.own_sealer,
            Purpose::SignIn,
            header.session,
            deadline_ms,
            &half_way,
        )
        .map_err(|_| unsealed())?;
        Ok(Step {
            answer: SignInAnswer::Continue { message, state },
            open: None,
            roles: Vec::new(),
            reason: None,
        })
    }

    fn second_step(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        sign_in: &SignIn,
        state: &[u8],
        now_ms: u64,
    ) -> Result<Step, Refused> {
        let session = opened.header.session;
        let half_way: HalfWay =
            ticket::open(&mut self.keys.own_opener, Purpose::SignIn, session, state, now_ms)
                .map_err(|error| Refused(start_again(), state_reason(error)))?;
        if half_way.frontend != request.frontend
            || half_way.backend != request.backend
            || half_way.about != about(sign_in)
        {
            return Err(Refused(start_again(), "sign-in-changed"));
        }
        let proved = self.prove(&half_way.scram, sign_in, now_ms)?;
        // Only now is it known who asks; whatever is refused from here on tells nothing to strangers.
        let Some(user) = self.users.get(&sign_in.user).cloned() else {
            return Err(Refused(
                ScramError::WrongPassword.refusal(&sign_in.user),
                "scram-final",
            ));
        };
        let open = self.open_session(opened, sign_in, &user)?;
        let ticket = Ticket {
            user: sign_in.user.clone(),
            roles: user.roles.clone(),
            tenant: user.tenant,
            client: sign_in.client.clone(),
            frontend: request.frontend.clone(),
            backend: request.backend.clone(),
            backend_instance: sign_in.backend_instance,
            expires_ms: now_ms.saturating_add(self.settings.ticket_lifetime_ms),
        };
        let ticket = ticket::seal(
            &mut self.keys.own_sealer,
            Purpose::Ticket,
            session,
            Header::NO_DEADLINE,
            &ticket,
        )
        .map_err(|_| unsealed())?;
        Ok(Step {
            answer: SignInAnswer::Accepted {
                message: proved.message,
                ticket,
            },
            open: Some(open),
            roles: user.roles,
            // Who still has the old password will be locked out when its time is over.
            reason: proved.previous.then_some("previous-password"),
        })
    }

    /// Checks the client's proof. Who is locked out gets the same work done and the same answer as for a wrong password,
    /// whether the proof is right or not: a guess then teaches nothing, not even that it was in vain.
    fn prove(
        &mut self,
        scram: &server::ServerState,
        sign_in: &SignIn,
        now_ms: u64,
    ) -> Result<Accepted, Refused> {
        let user = &sign_in.user;
        let address = record::address(&sign_in.client);
        let verifier = self.verifier(user, now_ms);
        let proved = server::finish(scram, &sign_in.message, &verifier);
        let locked = self.lockout.is_locked(user, address, now_ms);
        match proved {
            Ok(_) | Err(ScramError::WrongPassword) if locked => {
                Err(Refused(ScramError::WrongPassword.refusal(user), "locked-out"))
            }
            Ok(accepted) => {
                self.lockout.succeeded(user, address);
                Ok(accepted)
            }
            Err(error) => {
                // Only this one tells anything of the password.
                if error == ScramError::WrongPassword {
                    self.lockout.failed(user, address, now_ms);
                }
                Err(Refused(error.refusal(user), "scram-final"))
            }
        }
    }

    fn open_session(
        &self,
        opened: &Opened<'_>,
        sign_in: &SignIn,
        user: &User,
    ) -> Result<OpenSession, Refused> {
        let rights = self.policy.rights(&user.roles).ok_or_else(|| {
            let refusal = Refusal::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!(
                    "user \"{}\" has no role that may sign in; ask your administrator",
                    sign_in.user
                ),
            );
            Refused(refusal, "no-role")
        })?;
        let mut settings = rights
            .session_settings(&sign_in.parameters)
            .map_err(|refusal| Refused(refusal, "start-up-parameter"))?;
        settings.extend(rights.tenant_setting(user.tenant.as_deref()));
        Ok(OpenSession {
            backend_instance: sign_in.backend_instance,
            frontend_instance: opened.sender,
            user: sign_in.user.clone(),
            database: sign_in.database.clone(),
            database_role: rights.database_role().to_owned(),
            tenant: user.tenant.clone(),
            settings,
            window: sign_in.window,
        })
    }
}

fn start_again() -> Refusal {
    Refusal::fatal(
        SqlState::INVALID_AUTHORIZATION,
        "signing in took too long or was disturbed; connect again",
    )
}

fn unsealed() -> Refused {
    Refused(
        Refusal::fatal(
            SqlState::INTERNAL_ERROR,
            "signing in is not possible at the moment; try again later",
        ),
        "seal",
    )
}

fn state_reason(error: NotOurs) -> &'static str {
    match error {
        NotOurs::Seal(error) => error.name(),
        NotOurs::Session => "state-of-another-session",
        NotOurs::Purpose => "not-sign-in-state",
    }
}
