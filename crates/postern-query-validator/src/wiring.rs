//! The process: reads what the configuration names, connects, and lets the relay step.

use crate::config::QueryValidatorConfig;
use crate::end_points::{CertificateFile, EndPoints};
use crate::policy_watch::PolicyWatch;
use crate::setup::{Keys, Settings};
use crate::stage::Validator;
use crate::users::{Users, UsersFile};
use anyhow::Context as _;
use bytes::Bytes;
use postern_bus::relay::{self, Output, Step};
use postern_bus::{Inlet, Outlet, SecretSource};
use postern_inspect::MaskKey;
use postern_ledger::{Details, Event, Ledger, Level, Outcome, Record, StatementDigest};
use postern_policy::Policy;
use postern_runtime::{LinkKeys, Reload, StageContext, Status, unix_ms};
use std::io;
use std::path::Path;
use std::time::Instant;

/// How often the users file and the policy are looked at, in milliseconds.
const LOOK_MS: u64 = 1000;

/// Runs the Query Validator until it is asked to stop.
///
/// # Errors
/// When a file that the configuration names can't be used, a NATS server refuses this stage, or the ledger
/// can't be written.
pub async fn run(config: QueryValidatorConfig, context: StageContext) -> anyhow::Result<()> {
    let now_ms = unix_ms();
    let directory = config.ledger.directory.clone();
    let mut ledger = config.ledger.open(context.stage, context.instance, now_ms)?;
    let record_key = record_key(config.record_key_file.as_ref())?;
    let mut policy_watch = PolicyWatch::new(&config.policy_directory, record_key.is_some());
    let policy = policy_watch
        .changed()
        .with_context(|| config.policy_directory.display().to_string())?
        .context("the policy changes while it is read")?;
    note_policy(&policy, &mut ledger);
    let mut users_file = UsersFile::new(config.users_file.clone());
    let users = users_file.changed()?.unwrap_or_default();
    note_users(&users, &mut ledger);
    let link_keys = LinkKeys::begin(&config.keys, &context)?;
    let mut certificate_file = config.tls_certificate_file.map(CertificateFile::new);
    let end_point = match &mut certificate_file {
        Some(file) => file.changed()?.and_then(|found| found.end_point),
        None => None,
    };
    let settings = Settings {
        mock_secret: config.mock_secret_file.read()?.expose().as_bytes().to_vec(),
        end_points: EndPoints::of(end_point),
        ticket_lifetime_ms: u64::from(config.ticket_lifetime_s).saturating_mul(1000),
        nonce: postern_scram::fresh_nonce,
        lockout: config.sign_in,
        record_key,
        sql: postern_sql::SqlLimits::default(),
        wire: postern_wire::Limits::default(),
    };
    let mut stage = Running {
        validator: Validator::new(Keys::new(link_keys.keyring())?, policy, users, settings)?,
        users_file,
        policy_watch,
        certificate_file,
        certificate_grace_ms: u64::from(config.tls_certificate_grace_s).saturating_mul(1000),
        looked_ms: now_ms,
        reload: Reload::on_hang_up()?,
        ledger,
        link_keys,
        subject: config.outlet.stream.clone(),
    };
    let inlet = Inlet::connect(&config.inlet).await?;
    let outlet = Outlet::connect(&config.outlet).await?;
    context.ready.announce()?;
    let status = Status::new(&directory, context.stage, context.instance, stage.ledger.tally());
    let status = status.on_bus(inlet.watch(), outlet.watch());
    let work = relay::run(inlet, outlet, &mut stage, context.shutdown.cancelled());
    status.beside(work).await?;
    stage.ledger.close(unix_ms())?;
    Ok(())
}

/// The key under which values are recorded; `None` where its file is not there, which matters once the policy asks for it.
fn record_key(file: Option<&SecretSource>) -> anyhow::Result<Option<MaskKey>> {
    let is_there = |file: &&SecretSource| file.path().is_none_or(Path::exists);
    let Some(file) = file.filter(is_there) else {
        return Ok(None);
    };
    let key = MaskKey::new(file.read()?.expose().as_bytes());
    Ok(Some(key.with_context(|| file.to_string())?))
}

fn note_policy(policy: &Policy, ledger: &mut Ledger) {
    ledger.append(&Record {
        resource: &[StatementDigest(policy.hash().0)],
        details: Details {
            policy: Some(policy.hash().short()),
            ..Details::default()
        },
        ..Record::new(Event::PolicyLoaded)
    });
}

fn note_users(users: &Users, ledger: &mut Ledger) {
    let digest = users.digest();
    ledger.append(&Record {
        resource: digest.as_slice(),
        ..Record::new(Event::UsersTaken)
    });
}

struct Running {
    validator: Validator,
    users_file: UsersFile,
    policy_watch: PolicyWatch,
    certificate_file: Option<CertificateFile>,
    /// So long the certificate before another is good.
    certificate_grace_ms: u64,
    looked_ms: u64,
    /// SIGHUP has come: look at the files now.
    reload: Reload,
    ledger: Ledger,
    link_keys: LinkKeys,
    /// Stream of the outlet; the Backend's slot makes it a subject.
    subject: String,
}

impl Running {
    /// Takes changed files. Heartbeats come by twice a second, so an idle ring looks too.
    fn look_at_files(&mut self, now_ms: u64) {
        for news in self.link_keys.news() {
            self.ledger.append(&news.record());
        }
        let asked = self.reload.take();
        if !asked && now_ms.abs_diff(self.looked_ms) < LOOK_MS {
            return;
        }
        self.looked_ms = now_ms;
        if asked {
            self.policy_watch.ask_again();
        }
        self.look_at_policy();
        self.look_at_users();
        self.look_at_certificate(now_ms);
    }

    /// Takes a changed policy. A broken one changes nothing, and is told of.
    fn look_at_policy(&mut self) {
        match self.policy_watch.changed() {
            Ok(None) => {}
            Ok(Some(policy)) => {
                note_policy(&policy, &mut self.ledger);
                if policy.hash() != self.validator.policy().hash() {
                    tracing::info!(policy = %policy.hash(), "policy read again");
                    self.validator.set_policy(policy);
                }
            }
            Err(error) => {
                tracing::error!("policy not taken; the one from before still holds: {error}");
                self.ledger.append(&Record {
                    level: Level::Alert,
                    result: Outcome::Refused,
                    resource: error.digest.as_slice(),
                    details: Details {
                        policy: Some(self.validator.policy().hash().short()),
                        ..Details::default()
                    },
                    ..Record::new(Event::PolicyRefused)
                });
            }
        }
    }

    /// Takes a changed users file. One that is wrong changes nothing, so that a slip in it does not lock
    /// everybody out.
    fn look_at_users(&mut self) {
        match self.users_file.changed() {
            Ok(None) => {}
            Ok(Some(users)) => {
                tracing::info!("users file read again");
                note_users(&users, &mut self.ledger);
                self.validator.set_users(users);
            }
            Err(error) => {
                tracing::error!(%error, "users file not taken; the users from before still hold");
                self.ledger.append(&Record {
                    level: Level::Alert,
                    result: Outcome::Refused,
                    ..Record::new(Event::UsersRefused)
                });
            }
        }
    }

    /// Takes a changed certificate. One that can't be read changes nothing.
    fn look_at_certificate(&mut self, now_ms: u64) {
        let Some(file) = &mut self.certificate_file else {
            return;
        };
        match file.changed() {
            Ok(None) => {}
            Ok(Some(found)) => {
                tracing::info!("the certificate that clients see has changed");
                let until_ms = now_ms.saturating_add(self.certificate_grace_ms);
                self.validator.set_end_point(found.end_point, until_ms);
                self.ledger.append(&Record {
                    resource: &[found.digest],
                    ..Record::new(Event::CertificateTaken)
                });
            }
            Err(error) => {
                tracing::error!("certificate not taken; the one from before still holds: {error}");
                self.ledger.append(&Record {
                    level: Level::Alert,
                    result: Outcome::Refused,
                    ..Record::new(Event::CertificateRefused)
                });
            }
        }
    }
}

impl Step for Running {
    fn step(&mut self, inputs: Vec<Bytes>) -> Vec<Output> {
        let now_ms = unix_ms();
        self.look_at_files(now_ms);
        let begun = Instant::now();
        for input in inputs {
            let mut message = input.to_vec();
            let ledger = &mut self.ledger;
            self.validator.step(&mut message, now_ms, &mut |record| {
                ledger.append(&record.taking(begun.elapsed()))
            });
        }
        self.validator
            .take_outputs()
            .into_iter()
            .map(|output| Output {
                subject: format!("{}.{}", self.subject, output.backend),
                payload: output.payload.into(),
            })
            .collect()
    }

    fn commit(&mut self) -> io::Result<()> {
        self.ledger.commit()
    }
}
