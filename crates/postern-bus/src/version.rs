//! Versions of NATS servers.

use std::fmt;

/// Version of a NATS server, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl ServerVersion {
    /// Reads `MAJOR.MINOR.PATCH`, with whatever follows after `-` or `+` left out.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.trim_start_matches('v').split(['-', '+']).next()?;
        let mut numbers = core.split('.').map(|number| number.parse().ok());
        let version = ServerVersion {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next()??,
        };
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether a server is older than 2.12.7. Older ones work, and have published weaknesses that a guarded
/// ring should not be run on. 2.9 also drops the oldest messages of a stream at its byte limit, although it
/// is told to take no new ones instead; the sessions concerned notice the gap and end.
pub fn is_advised_against(version: ServerVersion) -> bool {
    version
        < ServerVersion {
            major: 2,
            minor: 12,
            patch: 7,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let old = |text| is_advised_against(ServerVersion::parse(text).unwrap());
        assert!(old("2.9.10"));
        assert!(old("2.12.6"));
        assert!(!old("2.12.7"));
        assert!(!old("2.12.10"));
        assert!(!old("v2.15.1"));
        assert!(!old("3.0.0-RC.1"));
        for bad in ["", "2", "2.9", "2.9.x", "2.9.10.1"] {
            assert_eq!(ServerVersion::parse(bad), None);
        }
    }
}
