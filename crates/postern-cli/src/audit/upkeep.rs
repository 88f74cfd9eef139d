//! What `postern up` does for the ledgers while the ring is up: sign, publish what was signed, pack what is no longer
//! written to, remove what is old.

use super::checkpoints::Notary;
use super::{pack, prune, publish};
use crate::directory::RingDirectory;
use crate::ring_config::AuditConfig;
use postern_runtime::unix_ms;
use postern_types::Author;
use std::collections::BTreeMap;

/// Looks after the ledgers of a ring that is up.
#[derive(Debug)]
pub(crate) struct Upkeep {
    config: AuditConfig,
    notaries: BTreeMap<Author, Notary>,
    /// What went wrong last, by what was tried, so that it is told once.
    told: BTreeMap<String, String>,
}

impl Upkeep {
    /// As the ring's configuration says.
    pub(crate) fn new(config: AuditConfig) -> Upkeep {
        Upkeep {
            config,
            notaries: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Signs what is new in each ledger. Reads all of them the first time, which takes its time.
    ///
    /// Gives what the operator should know, and did not hear yet.
    pub(crate) fn sign(&mut self, ring: &RingDirectory) -> Vec<String> {
        let mut news = Vec::new();
        for stage in Author::ALL {
            let signed = self.sign_one(ring, stage);
            let signed = signed.map_err(|error| format!("the ledger of {stage} was NOT signed: {error:#}"));
            self.note(format!("sign {stage}"), signed, &mut news);
        }
        news
    }

    /// Publishes what is signed and was not published yet.
    ///
    /// Gives what the operator should know, and did not hear yet.
    pub(crate) fn publish(&mut self, ring: &RingDirectory) -> Vec<String> {
        let mut news = Vec::new();
        for to in self.config.publish_to.clone() {
            let place = to.display();
            for stage in Author::ALL {
                let published = publish::add(ring.path(), stage, &to);
                let published = published.map_err(|error| {
                    format!("the checkpoints of {stage} were NOT published to {place}: {error:#}")
                });
                self.note(format!("publish {stage} {place}"), published, &mut news);
            }
        }
        news
    }

    /// Packs what is no longer written to, if it shall.
    ///
    /// Gives what the operator should know, and did not hear yet.
    pub(crate) fn pack(&mut self, ring: &RingDirectory) -> Vec<String> {
        let mut news = Vec::new();
        if !self.config.pack {
            return news;
        }
        for stage in Author::ALL {
            let directory = ring.path().join("audit").join(stage.name());
            let packed = match postern_ledger::pack(&directory) {
                Ok(packed) => {
                    news.extend(packed.iter().map(|one| pack::told(stage.name(), one)));
                    Ok(())
                }
                // The stage has written nothing yet.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(format!("the ledger of {stage} could not be packed: {error}")),
            };
            self.note(format!("pack {stage}"), packed, &mut news);
        }
        news
    }

    /// Removes what is older than it shall be, if anything shall go. Only what was signed goes, and only when every sink has
    /// got it confirmed.
    ///
    /// Gives what the operator should know, and did not hear yet.
    pub(crate) fn prune(&mut self, ring: &RingDirectory) -> Vec<String> {
        let mut news = Vec::new();
        let Some(days) = self.config.keep_days else {
            return news;
        };
        for stage in Author::ALL {
            // One that could not be signed is told of already.
            let Some(notary) = self.notaries.get_mut(&stage) else {
                continue;
            };
            let pruned = match prune::prune_one(ring, stage, days, notary) {
                Ok(pruned) => {
                    news.extend(pruned.told(stage));
                    pruned.held_up.map_or(Ok(()), Err)
                }
                Err(error) => Err(format!("{error:#}")),
            };
            let pruned = pruned.map_err(|error| {
                format!("records of {stage} that are older than {days} days could not be removed: {error}")
            });
            self.note(format!("prune {stage}"), pruned, &mut news);
        }
        news
    }

    fn note(&mut self, tried: String, done: Result<(), String>, news: &mut Vec<String>) {
        match done {
            Ok(()) => drop(self.told.remove(&tried)),
            Err(error) => {
                if self.told.get(&tried) != Some(&error) {
                    news.push(error.clone());
                    self.told.insert(tried, error);
                }
            }
        }
    }

    fn sign_one(&mut self, ring: &RingDirectory, stage: Author) -> anyhow::Result<()> {
        // One that failed is opened anew: it then says everything that is wrong.
        let mut notary = match self.notaries.remove(&stage) {
            Some(notary) => notary,
            None => Notary::open(ring, stage)?,
        };
        notary.sign(unix_ms())?;
        self.notaries.insert(stage, notary);
        Ok(())
    }
}
