//! `postern policy check`.

use crate::console::say;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check all files of a policy.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern policy check ring

Every mistake is told with its file and line. Exit codes: 0 sound, 1 not.")]
pub struct CheckArgs {
    /// A ring's directory, or a policy directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    match super::load(&args.directory)? {
        Ok(policy) => {
            let roles: Vec<&str> = policy.roles().collect();
            let named = policy.named().len();
            let relations = policy.catalog().map(|catalog| catalog.relations().count());
            if args.json {
                say!(
                    "{}",
                    json!({ "sound": true, "hash": policy.hash().to_string(), "roles": roles, "named": named,
                            "relations": relations, "mistakes": [] })
                );
            } else {
                say!(
                    "sound: {} roles ({}), {named} named statements",
                    roles.len(),
                    roles.join(", ")
                );
                match relations {
                    Some(relations) => say!("catalogue of {relations} relations"),
                    None => say!("no catalogue"),
                }
                say!(
                    "hash {}, {:016x} in records",
                    policy.hash(),
                    policy.hash().short()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            if args.json {
                let list: Vec<_> = mistakes
                    .iter()
                    .map(|m| json!({ "file": m.file, "line": m.line, "column": m.column, "message": m.message }))
                    .collect();
                say!("{}", json!({ "sound": false, "mistakes": list }));
            } else {
                for mistake in &mistakes {
                    say!("{mistake}");
                }
                let word = if mistakes.len() == 1 {
                    "mistake"
                } else {
                    "mistakes"
                };
                say!(
                    "{} {word}; a running ring keeps the policy it has",
                    mistakes.len()
                );
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
