//! The table of SECURITY.md.

use super::topology::{From, Place, To, arrows};
use crate::hop::Hop;
use crate::init::{DEFAULT_LISTEN, DEFAULT_NATS_PORT};
use postern_types::Stage;
use std::fmt::Write as _;

/// In Markdown, with the ports as they are by default.
pub(super) fn markdown() -> String {
    let mut text = String::from("| part | listens on | is reached by | reaches |\n|---|---|---|---|\n");
    for place in Place::all() {
        let by: Vec<String> = arrows()
            .iter()
            .filter(|arrow| arrow.to == To::Place(place))
            .map(|arrow| match arrow.from {
                From::Clients => "clients".to_owned(),
                From::Monitoring => "monitoring".to_owned(),
                From::Place(from) => from.to_string(),
            })
            .collect();
        let reaches: Vec<String> = arrows()
            .iter()
            .filter(|arrow| arrow.from == From::Place(place))
            .map(|arrow| match arrow.to {
                To::Place(to) => format!("{to} {}", port(to)),
                To::Collectors => "collectors".to_owned(),
            })
            .collect();
        let or_none = |list: Vec<String>| {
            if list.is_empty() {
                "nobody".to_owned()
            } else {
                list.join(", ")
            }
        };
        let _ = writeln!(
            text,
            "| {place} | {} | {} | {} |",
            port(place),
            or_none(by),
            or_none(reaches)
        );
    }
    text.truncate(text.trim_end().len());
    text
}

/// The port of a part unless told otherwise.
fn port(place: Place) -> String {
    let nats = |hop: Hop| {
        let position = Hop::ALL
            .into_iter()
            .position(|other| other == hop)
            .unwrap_or_default();
        let offset = u16::try_from(position).unwrap_or_default();
        DEFAULT_NATS_PORT.saturating_add(offset).to_string()
    };
    match place {
        Place::Stage(Stage::Frontend) => DEFAULT_LISTEN.rsplit(':').next().unwrap_or_default().to_owned(),
        Place::Nats(hop) => nats(hop),
        Place::Database => "5432".to_owned(),
        // As the example in sinks.toml.
        Place::Sinks => "9464".to_owned(),
        Place::Stage(_) | Place::Operator => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_security_md_is_this_one() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../SECURITY.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(
            page.contains(&markdown()),
            "SECURITY.md is stale; `postern firewall --table` prints the table:\n{}",
            markdown()
        );
    }
}
