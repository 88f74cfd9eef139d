//! `postern policy accept`.

use super::learn::{self, STATEMENTS};
use super::{policy_directory, recorded, sound};
use crate::console::say;
use crate::directory::RingDirectory;
use crate::operator;
use crate::secret_file;
use anyhow::{Context as _, bail};
use clap::Args;
use postern_policy::{Policy, is_policy_file};
use postern_runtime::PolicyFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Take proposed statements into the policy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern policy accept ring            asks for each statement
  postern policy accept ring --all

Accepted statements are added to policy/queries/TABLE.sql. They hold for roles with `named: true`; a ring that is
up takes them by itself. Exit codes: 0 done, 1 failed.")]
pub struct AcceptArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only what was recorded since then: 2026-11-22, or 2026-11-22T10:00 (UTC).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Take all of them without asking.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &AcceptArgs) -> anyhow::Result<ExitCode> {
    let policy = sound(&args.directory)?;
    let recorded = recorded::read(&args.directory, args.since.as_deref())?;
    let proposals = learn::proposals(&policy, &recorded);
    if proposals.is_empty() {
        say!("Nothing that the policy does not know.");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.all && !io::stdin().is_terminal() {
        bail!(
            "there is no terminal to ask on; --all takes all {} statements",
            proposals.len()
        );
    }
    let known: BTreeSet<&str> = policy.roles().collect();
    let mut added: BTreeMap<String, String> = BTreeMap::new();
    let mut count = 0usize;
    for proposal in &proposals {
        let mut proposal = proposal.clone();
        // Roles of the past would be a mistake in the file.
        proposal.roles.retain(|role| known.contains(role.as_str()));
        if proposal.roles.is_empty() {
            continue;
        }
        match if args.all {
            Answer::Yes
        } else {
            ask(&proposal.text(), proposal.count)?
        } {
            Answer::Yes => {}
            Answer::No => continue,
            Answer::Quit => break,
        }
        count = count.saturating_add(1);
        let file = added
            .entry(format!("queries/{}.sql", proposal.about))
            .or_default();
        file.push('\n');
        file.push_str(&proposal.text());
    }
    write(args, &added)?;
    say!("{count} statements accepted.");
    if count > 0 {
        // What is left of the proposals is out of date.
        let _ = fs::remove_file(learn::proposed(&args.directory).join(STATEMENTS));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the files, if the policy is sound with them.
fn write(args: &AcceptArgs, added: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let directory = policy_directory(&args.directory);
    let mut files: BTreeMap<String, Vec<u8>> = PolicyFiles::new(&directory, is_policy_file)
        .read()?
        .into_iter()
        .collect();
    for (path, text) in added {
        let file = files.entry(path.clone()).or_default();
        file.extend_from_slice(
            text.trim_start_matches(|c| c == '\n' && file.is_empty())
                .as_bytes(),
        );
    }
    let all: Vec<(String, Vec<u8>)> = files.clone().into_iter().collect();
    if let Err(mistakes) = Policy::load(&all) {
        let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
        bail!(
            "nothing was changed; the policy would have mistakes:\n{}",
            lines.join("\n")
        );
    }
    if added.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = added.keys().cloned().collect();
    operator::recorded(
        &RingDirectory::new(&args.directory),
        "policy.accept",
        &paths,
        || write_files(&directory, &paths, &files),
    )
}

fn write_files(directory: &Path, paths: &[String], files: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    secret_file::directory(&directory.join("queries"))?;
    for path in paths {
        let content = files.get(path).map(Vec::as_slice).unwrap_or_default();
        let path = directory.join(path);
        let text = std::str::from_utf8(content).context("a file is not UTF-8")?;
        secret_file::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

enum Answer {
    Yes,
    No,
    Quit,
}

fn ask(text: &str, count: u64) -> anyhow::Result<Answer> {
    say!("\nrun {count} times:\n{text}");
    loop {
        print!("Accept? [y]es, [n]o, [q]uit: ");
        io::stdout().flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(Answer::Quit);
        }
        match line.trim() {
            "y" | "yes" => return Ok(Answer::Yes),
            "n" | "no" => return Ok(Answer::No),
            "q" | "quit" => return Ok(Answer::Quit),
            _ => {}
        }
    }
}
