//! Object storage: a server of S3 with Object Lock, from wheels that `./test` fetches, and AWS's own client.

use crate::port::{self, Port};
use crate::process::Process;
use anyhow::Context as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where `./test` has put the wheels.
const WHEELS: &str = "POSTERN_TEST_S3";
const START_WITHIN: Duration = Duration::from_secs(60);

/// The server; gone when it is dropped, with all that it holds.
pub struct S3 {
    port: Port,
    wheels: PathBuf,
    _process: Process,
}

impl S3 {
    /// What the sink signs with.
    pub const ACCESS_KEY: &str = "AKIAPOSTERNSINK00000";
    /// Its secret.
    pub const SECRET_KEY: &str = "a/secret+of=the sink";

    /// Starts it with its log in `directory`.
    ///
    /// # Errors
    /// When `./test` has not fetched it, or it does not start.
    pub fn start(directory: &Path) -> anyhow::Result<S3> {
        let wheels = std::env::var_os(WHEELS)
            .map(PathBuf::from)
            .with_context(|| format!("{WHEELS} is not set; ./test fetches the server and sets it"))?;
        let port = port::reserve()?;
        let number = port.number.to_string();
        let command: [OsString; 6] = [
            "python3".into(),
            "-c".into(),
            include_str!("s3_server.py").into(),
            number.into(),
            S3::ACCESS_KEY.into(),
            S3::SECRET_KEY.into(),
        ];
        let environment = [("PYTHONPATH".to_owned(), wheels.clone().into_os_string())];
        let log = directory.join("s3.log");
        let mut process = Process::start_with(&command, &environment, directory, &log)?;
        let end = Instant::now() + START_WITHIN;
        while std::net::TcpStream::connect(("127.0.0.1", port.number)).is_err() {
            anyhow::ensure!(
                process.is_running() && Instant::now() < end,
                "the server of S3 does not start: {}",
                process.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(S3 {
            port,
            wheels,
            _process: process,
        })
    }

    /// `endpoint` in `sinks.toml`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number)
    }

    /// Runs some lines of Python, in which `s3` is a client of AWS's own library, and gives what they print.
    ///
    /// # Errors
    /// When they fail.
    pub fn ask(&self, code: &str) -> anyhow::Result<String> {
        let client = format!(
            "import boto3\ns3 = boto3.client('s3', endpoint_url='{}', region_name='eu-central-1', \
             aws_access_key_id='owner', aws_secret_access_key='owner')\n{code}",
            self.endpoint()
        );
        let output = Command::new("python3")
            .args(["-c", &client])
            .env("PYTHONPATH", &self.wheels)
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{error}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
