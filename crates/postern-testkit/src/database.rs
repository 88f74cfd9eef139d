//! The database of a ring: a cluster of its own, and TLS if the test wants it.

use crate::authority::Authority;
use crate::options::Options;
use crate::port::{self, Port};
use crate::postgres::{Account, CARELESS, Installation, Server, ServerOptions};
use crate::template;
use postern_cli::secret_file;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Everything of a database that runs.
pub(crate) struct Database {
    pub(crate) server: Server,
    pub(crate) installation: Installation,
    pub(crate) account: Account,
    pub(crate) options: ServerOptions,
    pub(crate) tls: Option<DatabaseTls>,
    pub(crate) port: Port,
}

/// Starts a copy of the cluster that tests share, with its files below `files`.
pub(crate) fn start(
    installation: &Installation,
    account: Account,
    files: &Path,
    wanted: &Options,
) -> anyhow::Result<Database> {
    let port = port::reserve()?;
    let socket_directory = files.join("pg");
    fs::create_dir(&socket_directory)?;
    account.own(&socket_directory)?;
    let data = socket_directory.join("data");
    template::copy_to(installation, account, &data)?;
    let tls = match wanted.database_tls {
        true => Some(DatabaseTls::offer(account, files, &data)?),
        false => None,
    };
    let settings = tls.iter().flat_map(|_| DatabaseTls::SETTINGS).chain(CARELESS);
    let options = ServerOptions {
        data,
        socket_directory,
        port: port.number,
        log: files.join("postgres.log"),
        settings: settings
            .map(str::to_owned)
            .chain(wanted.database_settings.iter().cloned())
            .collect(),
    };
    Ok(Database {
        server: Server::start(installation, account, options.clone())?,
        installation: installation.clone(),
        account,
        options,
        tls,
        port,
    })
}

/// TLS of a database, which has a certificate of an authority of its own, and the Backend's client certificate.
pub struct DatabaseTls {
    authority: Authority,
    account: Account,
    data: PathBuf,
    client: PathBuf,
}

impl DatabaseTls {
    const SETTINGS: [&str; 2] = ["ssl=on", "ssl_ca_file=root.crt"];

    fn offer(account: Account, files: &Path, data: &Path) -> anyhow::Result<DatabaseTls> {
        let tls = DatabaseTls {
            authority: Authority::new("database")?,
            account,
            data: data.to_owned(),
            client: files.join("database-client"),
        };
        secret_file::write(&files.join("database-ca.crt"), &tls.authority.pem())?;
        tls.authority.issue(&tls.client, &["postern"], 0..100)?;
        let root = data.join("root.crt");
        secret_file::write(&root, &tls.authority.pem())?;
        account.own(&root)?;
        tls.certify(&tls.authority, &["127.0.0.1", "localhost"], 0..100)?;
        Ok(tls)
    }

    /// What the database's certificate and the Backend's are signed by.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Gives the database a certificate of this authority for these names, good from and until so many days from now.
    /// It shows it when it has read its configuration again.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn certify(&self, authority: &Authority, names: &[&str], days: Range<i64>) -> anyhow::Result<()> {
        let stem = self.data.join("server");
        authority.issue(&stem, names, days)?;
        self.account.own(&stem.with_extension("crt"))?;
        self.account.own(&stem.with_extension("key"))
    }

    /// How `postern init` is told of it, behind the `?` of the database's URL.
    pub(crate) fn parameters(&self) -> String {
        format!(
            "sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}&channel_binding=require",
            self.client.with_file_name("database-ca.crt").display(),
            self.client.with_extension("crt").display(),
            self.client.with_extension("key").display()
        )
    }
}
