//! What was found.

use serde_json::{Value, json};
use std::fmt;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// As it should be.
    Pass,
    /// Not wrong everywhere, or it could not be looked at.
    Warn,
    /// Not to go into production.
    Fail,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        }
    }
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// Who may sign in.
    Authentication,
    /// What they may do.
    Authorisation,
    /// Keys and TLS.
    Encryption,
    /// Who reaches what.
    Network,
    /// PostgreSQL.
    Database,
    /// Records, and what runs.
    Monitoring,
    /// Rules that people will ask about: files, sandbox, host.
    Compliance,
}

impl Area {
    fn name(self) -> &'static str {
        match self {
            Area::Authentication => "authentication",
            Area::Authorisation => "authorisation",
            Area::Encryption => "encryption",
            Area::Network => "network",
            Area::Database => "database",
            Area::Monitoring => "monitoring",
            Area::Compliance => "compliance",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) area: Area,
    /// Name of the check; the same in every version.
    pub(super) check: &'static str,
    pub(super) status: Status,
    pub(super) said: String,
    /// How to mend it; empty where nothing is to be mended.
    pub(super) mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, area) = (self.status.name(), self.area.name());
        write!(f, "{status}  {area:<15} {}: {}", self.check, self.said)?;
        if self.mend.is_empty() {
            return Ok(());
        }
        write!(f, " -> {}", self.mend)
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds to one area.
    pub(super) fn about(&mut self, area: Area) -> Section<'_> {
        Section { report: self, area }
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(super) fn worst(&self) -> Status {
        let worst = self.findings.iter().map(|finding| finding.status).max();
        worst.unwrap_or(Status::Pass)
    }

    fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|f| f.status == status).count()
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} passed, {} to look at, {} failed",
            self.count(Status::Pass),
            self.count(Status::Warn),
            self.count(Status::Fail)
        )
    }

    pub(super) fn to_json(&self) -> Value {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|f| {
                json!({ "area": f.area.name(), "check": f.check, "status": f.status.name().to_lowercase(),
                        "said": f.said, "mend": f.mend })
            })
            .collect();
        json!({ "passed": self.count(Status::Pass), "warnings": self.count(Status::Warn),
                "failed": self.count(Status::Fail), "findings": findings })
    }
}

/// The part of a report that one check writes.
pub(super) struct Section<'a> {
    report: &'a mut Report,
    area: Area,
}

impl Section<'_> {
    fn add(&mut self, check: &'static str, status: Status, said: String, mend: String) {
        // Names of files, roles and tables are whatever somebody made them.
        let plain = |text: String| text.replace(char::is_control, " ");
        self.report.findings.push(Finding {
            area: self.area,
            check,
            status,
            said: plain(said),
            mend: plain(mend),
        });
    }

    pub(super) fn pass(&mut self, check: &'static str, said: impl Into<String>) {
        self.add(check, Status::Pass, said.into(), String::new());
    }

    pub(super) fn warn(&mut self, check: &'static str, said: impl Into<String>, mend: impl Into<String>) {
        self.add(check, Status::Warn, said.into(), mend.into());
    }

    pub(super) fn fail(&mut self, check: &'static str, said: impl Into<String>, mend: impl Into<String>) {
        self.add(check, Status::Fail, said.into(), mend.into());
    }

    /// One line for a check over many things: those it is wrong with, or that it is right.
    pub(super) fn each(
        &mut self,
        check: &'static str,
        status: Status,
        wrong: &[String],
        mend: &str,
        right: &str,
    ) {
        /// Names that are shown.
        const SHOWN: usize = 8;
        if wrong.is_empty() {
            return self.pass(check, right);
        }
        let shown: Vec<&str> = wrong.iter().take(SHOWN).map(String::as_str).collect();
        let more = wrong.len().saturating_sub(shown.len());
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        let said = format!("{}{more}", shown.join("; "));
        self.add(check, status, said, mend.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_where_and_how_to_mend_it() {
        let mut report = Report::default();
        assert_eq!(report.worst(), Status::Pass);
        report.about(Area::Network).pass("listen", "local");
        let wrong: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
        let mut section = report.about(Area::Database);
        section.each("tables", Status::Warn, &wrong, "mend them", "fine");
        section.each("roles", Status::Fail, &[], "mend them", "fine");
        section.fail("odd", "a\nb\u{1b}[31m", "");
        let lines: Vec<String> = report.findings().iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "pass  network         listen: local");
        assert!(lines[1].ends_with("t7; and 2 more -> mend them"), "{}", lines[1]);
        assert_eq!(lines[2], "pass  database        roles: fine");
        assert_eq!(lines[3], "FAIL  database        odd: a b [31m");
        assert_eq!(report.worst(), Status::Fail);
        assert_eq!(report.summary(), "2 passed, 1 to look at, 1 failed");
        assert_eq!(report.to_json()["findings"][3]["status"], "fail");
    }
}
