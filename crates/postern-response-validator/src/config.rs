//! `response-validator.toml`.

use crate::answers::Answers;
use postern_bus::{InletConfig, OutletConfig};
use postern_runtime::sandbox::{Needs, SandboxError, SandboxMode, Sandboxed};
use postern_runtime::{KeysConfig, LedgerConfig};
use postern_types::Contract;
use serde::Deserialize;

/// The configuration of the Response Validator. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keys of this stage and its peers.
    pub keys: KeysConfig,
    /// The stream `dirty-resp`.
    pub inlet: InletConfig,
    /// The stream `clean-resp`.
    pub outlet: OutletConfig,
    /// Where records go.
    pub ledger: LedgerConfig,
    /// Caps of this stage's own.
    #[serde(default)]
    pub limits: Limits,
    /// Rules about what may come back.
    #[serde(default)]
    pub answers: Answers,
    /// How much the stage insists on its sandbox.
    #[serde(default)]
    pub sandbox: SandboxMode,
}

impl Sandboxed for Config {
    fn sandbox(&self) -> SandboxMode {
        self.sandbox
    }

    fn needs(&self) -> Result<Needs, SandboxError> {
        let needs = Needs::of_stage(&self.keys, &self.inlet, &self.outlet, &self.ledger)?;
        self.answers.add_to(needs)
    }
}

/// Caps that hold for every answer, whatever its contract allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most rows of one answer; left out is no limit. A line of COPY counts as a row.
    pub max_rows: Option<u64>,
    /// Most bytes of rows of one answer; left out is no limit.
    pub max_bytes: Option<u64>,
}

impl Limits {
    /// Puts these caps on a contract: it may be tighter, never looser.
    pub(crate) fn tighten(&self, contract: &mut Contract) {
        contract.max_rows = tighter(contract.max_rows, self.max_rows);
        contract.max_bytes = tighter(contract.max_bytes, self.max_bytes);
    }
}

/// The lower of two caps, where `None` is no cap.
fn tighter(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (cap, None) | (None, cap) => cap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_never_loosened() {
        assert_eq!(tighter(None, None), None);
        assert_eq!(tighter(Some(5), None), Some(5));
        assert_eq!(tighter(None, Some(7)), Some(7));
        assert_eq!(tighter(Some(5), Some(7)), Some(5));
        assert_eq!(tighter(Some(9), Some(7)), Some(7));
    }

    #[test]
    fn limits_may_be_left_out_but_not_misspelt() {
        assert_eq!(toml::from_str::<Limits>("").unwrap(), Limits::default());
        let limits: Limits = toml::from_str("max_rows = 10").unwrap();
        assert_eq!((limits.max_rows, limits.max_bytes), (Some(10), None));
        assert!(toml::from_str::<Limits>("max_row = 10").is_err());
        assert!(toml::from_str::<Limits>("max_rows = -1").is_err());
    }

    #[test]
    fn a_whole_file_is_read_and_unknown_names_are_refused() {
        let hop = |name: &str| {
            format!(
                "[{name}]\nurl = \"nats://127.0.0.1:4222\"\nuser = \"rv\"\nsign_in = {{ method = \
                 \"password\", password_file = \"keys/nats\" }}\n"
            )
        };
        let text = format!(
            "[keys]\nfile = \"keys/keys.toml\"\n{}stream = \
             \"dirty-resp\"\nconsumer = \"response-validator\"\n{}stream = \"clean-resp\"\n[ledger]\ndirectory = \
             \"audit/response-validator\"\n[limits]\nmax_bytes = 1000\n",
            hop("inlet"),
            hop("outlet"),
        );
        let config: Config = toml::from_str(&text).unwrap();
        assert_eq!(config.outlet.stream, "clean-resp");
        assert_eq!(
            config.limits,
            Limits {
                max_rows: None,
                max_bytes: Some(1000)
            }
        );
        assert!(toml::from_str::<Config>(&format!("{text}[policy]\n")).is_err());
        assert!(toml::from_str::<Config>(&text.replace("consumer", "consumers")).is_err());
    }
}
