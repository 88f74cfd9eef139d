//! Clusters with the shop in them, made once and copied for each test.

use crate::postgres::{Account, CARELESS, Installation, Server, ServerOptions, make_cluster};
use crate::{binaries, port, shop};
use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Password of the login role `postern` in a test's cluster.
pub(crate) const BACKEND_PASSWORD: &str = "backend-of-a-test";

/// Scale of the shop's rows in tests.
const SCALE: f64 = 0.05;

/// The roles of the shop as logins too, so that a test can compare the ring with a direct connection.
const LOGINS: &str = "
    ALTER ROLE app LOGIN PASSWORD 'app';
    ALTER ROLE owner LOGIN PASSWORD 'owner';
    ALTER ROLE postgres PASSWORD 'postgres';
    ALTER ROLE app IN DATABASE demo SET search_path = shop;
";

/// Puts a copy of the template for this version of PostgreSQL at `data`.
pub(crate) fn copy_to(installation: &Installation, account: Account, data: &Path) -> anyhow::Result<()> {
    let template = template(installation, account)?;
    // Keeps owner and mode, and shares blocks where the file system can.
    let status = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(&template)
        .arg(data)
        .status()?;
    if !status.success() {
        bail!("can't copy {} to {}", template.display(), data.display());
    }
    Ok(())
}

fn template(installation: &Installation, account: Account) -> anyhow::Result<PathBuf> {
    let folder = binaries::directory()?.join("postern-testkit");
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let mut hasher = DefaultHasher::new();
    (
        shop::SOURCES,
        LOGINS,
        SCALE.to_bits(),
        &installation.binaries,
        format!("{account:?}"),
    )
        .hash(&mut hasher);
    let template = folder.join(format!("pg{}-{:016x}", installation.major, hasher.finish()));
    // Several test processes may want it at once; one makes it.
    let lock = File::create(folder.join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    if !template.is_dir() {
        make(installation, account, &template)?;
    }
    Ok(template)
}

fn make(installation: &Installation, account: Account, template: &Path) -> anyhow::Result<()> {
    // Under the temporary directory, because the target directory may be out of the account's reach.
    let workshop = workshop()?;
    account.own(workshop.path())?;
    let data = workshop.path().join("data");
    make_cluster(installation, account, &data)?;
    let port = port::reserve()?;
    let options = ServerOptions {
        data: data.clone(),
        socket_directory: workshop.path().to_owned(),
        port: port.number,
        log: workshop.path().join("log"),
        settings: CARELESS.map(str::to_owned).to_vec(),
    };
    let mut server = Server::start(installation, account, options)?;
    shop::create(&server, BACKEND_PASSWORD, SCALE)?;
    server.psql("postgres", &["-q", "-v", "ON_ERROR_STOP=1"], LOGINS)?;
    server.stop();
    let draft = template.with_extension("draft");
    let _ = fs::remove_dir_all(&draft);
    let status = Command::new("cp").arg("-a").arg(&data).arg(&draft).status()?;
    if !status.success() {
        bail!("can't copy the template to {}", draft.display());
    }
    fs::rename(&draft, template)?;
    Ok(())
}

/// A temporary directory that another account can pass through.
pub(crate) fn workshop() -> anyhow::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::Builder::new().prefix("postern-test-").tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711))?;
    Ok(directory)
}
