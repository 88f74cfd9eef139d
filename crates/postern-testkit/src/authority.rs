//! A certificate authority of a test, which also makes certificates that nobody should believe.

use anyhow::Context as _;
use postern_cli::secret_file;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY_S: u64 = 86_400;
/// The clock of whoever looks at a certificate may tick later than this one's.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// One of this name, with a key of its own.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate()?);
        Ok(Authority(made.context("can't make an authority")?))
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its own certificate and key to `STEM.crt` and `STEM.key`.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn write(&self, stem: &Path) -> anyhow::Result<()> {
        secret_file::write(&stem.with_extension("crt"), &self.pem())?;
        Ok(secret_file::write(
            &stem.with_extension("key"),
            &self.0.key().serialize_pem(),
        )?)
    }

    /// Writes `STEM.crt` and `STEM.key` for these names, the first of which is the common name; good from and until
    /// so many days from now.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn issue(&self, stem: &Path, names: &[&str], days: Range<i64>) -> anyhow::Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        let first = names.first().context("a certificate has a name")?;
        params.distinguished_name.push(DnType::CommonName, first.as_str());
        params.not_before = day(days.start)?.into();
        params.not_after = day(days.end)?.into();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        secret_file::write(&stem.with_extension("crt"), &certificate.pem())?;
        Ok(secret_file::write(
            &stem.with_extension("key"),
            &key.serialize_pem(),
        )?)
    }
}

fn day(days: i64) -> anyhow::Result<SystemTime> {
    let distance = Duration::from_secs(days.unsigned_abs().saturating_mul(DAY_S));
    let now = SystemTime::now().checked_sub(CLOCK_SKEW);
    now.and_then(|now| match days {
        0.. => now.checked_add(distance),
        _ => now.checked_sub(distance),
    })
    .context("there is no such day")
}
