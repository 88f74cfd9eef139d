//! `postern audit prove` and `verify-proof`: one record, shown to somebody who has the public key only.

use super::checkpoints;
use super::{Ledgers, Verdict, ignore_closed_pipe};
use anyhow::{Context as _, bail};
use clap::Args;
use postern_ledger::{Proof, Proved, PublicKey};
use postern_types::Author;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prove that a record is in a ledger, as it was when it was signed.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern audit prove ring --stage backend --number 812 > proof.json
  postern audit verify-proof proof.json --public-key backend.pub

The proof holds the record, the way to a checkpoint, and the checkpoint; nothing else of the ledger.")]
pub struct ProveArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Whose ledger.
    #[arg(long, value_parser = super::stage)]
    pub stage: Author,
    /// Number of the record, as `postern audit tail --json` shows it.
    #[arg(long, value_name = "N")]
    pub number: u64,
}

/// Check a proof with a public key, and without the ledger.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern audit verify-proof proof.json --public-key backend.pub --against kept/backend.jsonl

Exit codes: 0 it holds, 1 it does not, 2 a file can't be read.")]
pub struct VerifyProofArgs {
    /// The proof.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The public key of the stage, as it was when you came to trust it.
    #[arg(long, value_name = "FILE")]
    pub public_key: PathBuf,
    /// Checkpoints that were kept elsewhere; the proof's own must be one of them.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `postern audit prove`.
///
/// # Errors
/// When no checkpoint covers the record, or the ledger is not what was signed.
pub fn prove(args: &ProveArgs) -> anyhow::Result<ExitCode> {
    let Ledgers::Ring(ledgers) = Ledgers::of(&args.directory) else {
        bail!("{} is not a ring's directory", args.directory.display());
    };
    let ledger = ledgers
        .get(&args.stage)
        .with_context(|| format!("there is no ledger of {} here", args.stage))?;
    let audit = ledger.parent().context("the ledger has no parent")?;
    let checkpoints = read(&checkpoints::file(audit, args.stage))?;
    let key = checkpoints::public_key_file(&args.directory, args.stage);
    let key = checkpoints::read_public_key(&key)?;
    let proof = Proof::make(ledger, args.number, args.stage, &checkpoints, &key)
        .with_context(|| format!("record {} of {} can't be proved", args.number, args.stage))?;
    ignore_closed_pipe(writeln!(
        io::stdout().lock(),
        "{}",
        serde_json::to_string(&proof)?
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

/// `postern audit verify-proof`.
///
/// # Errors
/// When standard output can't be written to.
pub fn verify_proof(args: &VerifyProofArgs) -> anyhow::Result<ExitCode> {
    let outcome = match inputs(args) {
        Ok(inputs) => inputs.check(),
        Err(error) => {
            eprintln!("postern: {error:#}");
            return Ok(ExitCode::from(Verdict::Unreadable as u8));
        }
    };
    let mut out = io::stdout().lock();
    ignore_closed_pipe(match &outcome {
        _ if args.json => writeln!(out, "{}", as_json(&outcome)),
        // The record holds what the stage wrote, which is JSON without control characters.
        Ok(proved) => writeln!(
            out,
            "record {} of {} is proved, signed {}:\n{}",
            proved.number,
            proved.checkpoint.stage,
            proved.checkpoint.time(),
            proved.record
        ),
        Err(reason) => writeln!(out, "the proof does NOT hold: {reason}"),
    })?;
    let verdict = match outcome {
        Ok(_) => Verdict::Sound,
        Err(_) => Verdict::Wrong,
    };
    Ok(ExitCode::from(verdict as u8))
}

fn as_json(outcome: &Result<Proved, String>) -> Value {
    match outcome {
        Ok(proved) => json!({
            "holds": true,
            "stage": proved.checkpoint.stage,
            "number": proved.number,
            "signed": proved.checkpoint.time(),
            "record": serde_json::from_str::<Value>(&proved.record).unwrap_or_default(),
        }),
        Err(reason) => json!({ "holds": false, "reason": reason }),
    }
}

struct Inputs {
    proof: String,
    key: PublicKey,
    kept: Option<String>,
}

fn inputs(args: &VerifyProofArgs) -> anyhow::Result<Inputs> {
    Ok(Inputs {
        proof: read(&args.file)?,
        key: checkpoints::read_public_key(&args.public_key)?,
        kept: args.against.as_deref().map(read).transpose()?,
    })
}

impl Inputs {
    fn check(&self) -> Result<Proved, String> {
        let proof = Proof::parse(self.proof.trim_end()).map_err(|error| error.to_string())?;
        let proved = proof.check(&self.key).map_err(|error| error.to_string())?;
        let known = |kept: &String| kept.lines().any(|line| line == proof.checkpoint_line());
        if !self.kept.as_ref().is_none_or(known) {
            return Err("its checkpoint is not among those that were kept".to_owned());
        }
        Ok(proved)
    }
}
