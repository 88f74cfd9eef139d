//! Files and TCP ports, by Landlock (kernel documentation, "Landlock: unprivileged access control").

use super::{Needs, SandboxError};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};
use std::path::Path;

/// What is handled, and so refused where no rule allows it: all that this version knows, as far as the kernel does
/// too.
const KNOWN: ABI = ABI::V6;
/// Since this one TCP ports can be restricted.
const WITH_TCP: ABI = ABI::V4;

/// Restricts this thread to the files and ports it needs.
pub(super) fn restrict(needs: &Needs) -> Result<(), SandboxError> {
    let refused = |error: RulesetError| SandboxError::Landlock(error.to_string());
    let status = ruleset(needs)
        .map_err(refused)?
        .restrict_self()
        .map_err(refused)?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(SandboxError::NoLandlock);
    }
    if let LandlockStatus::Available { effective_abi, .. } = status.landlock
        && effective_abi < WITH_TCP
    {
        tracing::warn!("this kernel restricts files but not TCP ports, which needs Linux 6.7 or later");
    }
    Ok(())
}

fn ruleset(needs: &Needs) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        // No signals to other processes, no abstract Unix sockets.
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    for path in &needs.read {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    let writing = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    for path in &needs.write {
        rules = allow(rules, path, writing)?;
    }
    for port in &needs.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    for port in &needs.listen {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(rules)
}

/// Allows `access` below a path. What is not there needs no rule: it stays out of reach if it comes later.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else {
        return Ok(rules);
    };
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(KNOWN)
    };
    rules.add_rule(PathBeneath::new(opened, access))
}
