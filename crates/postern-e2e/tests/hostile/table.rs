//! What was tried, and what came of it.

/// What is to come of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: this promise holds.
    Stopped(&'static str),
    /// It works. SECURITY.md says so.
    Residual,
}

/// The attacks of one part.
pub(crate) struct Table {
    part: String,
    rows: Vec<(String, Fate, bool, String)>,
}

impl Table {
    pub(crate) fn new(part: impl Into<String>) -> Table {
        Table {
            part: part.into(),
            rows: Vec::new(),
        }
    }

    /// Notes whether an attack had its effect, and what else was seen.
    pub(crate) fn note(
        &mut self,
        attack: impl Into<String>,
        fate: Fate,
        worked: bool,
        seen: impl Into<String>,
    ) {
        self.rows.push((attack.into(), fate, worked, seen.into()));
    }

    /// Prints the table. Fails when anything came out otherwise than it has to, or when there is too little in it.
    pub(crate) fn finish(self, at_least: usize) {
        println!("\nhijacked: {}", self.part);
        let mut wrong = Vec::new();
        for (attack, fate, worked, seen) in &self.rows {
            let (came, why) = match fate {
                Fate::Stopped(promise) => (if *worked { "WORKED" } else { "stopped" }, *promise),
                Fate::Residual => (if *worked { "residual" } else { "STOPPED" }, "SECURITY.md"),
            };
            println!(
                "  {came:<9} {why:<12} {attack}{}{seen}",
                if seen.is_empty() { "" } else { ": " }
            );
            if *worked != (*fate == Fate::Residual) {
                wrong.push(attack.clone());
            }
        }
        let stopped = self.rows.iter().filter(|row| row.1 != Fate::Residual).count();
        println!("  {} attacks, {stopped} to be stopped", self.rows.len());
        assert!(wrong.is_empty(), "{}: came out otherwise: {wrong:#?}", self.part);
        assert!(
            self.rows.len() >= at_least,
            "{}: only {} attacks",
            self.part,
            self.rows.len()
        );
    }
}
