//! What the stages tell of themselves, for Prometheus and for whoever asks whether they are well.
//!
//! Each stage writes a file beside its ledger every second; here it is served, so that no stage listens to anybody. Nothing
//! is in it but numbers. Whoever can connect may read it: the address is one that only the watchers reach.
//!
//! | path | answer |
//! |---|---|
//! | `/STAGE/metrics` | the file, in the text format of Prometheus (0.0.4) |
//! | `/STAGE/health` | 200 while the stage lives, else 503 and why |
//! | `/STAGE/ready` | 200 while it can take work, else 503 and why |
//! | `/sinks/metrics` | how far behind each sink is, by ledger |
//! | `/health` | 200 while all stages of this machine live |

use crate::config::MetricsConfig;
use crate::positions::PositionsFile;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use postern_runtime::{READY, STATUS_FILE, WRITTEN, unix_ms};
use postern_types::{Author, Stage};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A stage whose file is older does not live.
const STALE_MS: u64 = 5_000;
/// Most that is served of a stage's file.
const MOST_BYTES: u64 = 1024 * 1024;
/// Most connections at a time.
const CONNECTIONS: usize = 32;
/// How long a request may take to come in.
const PATIENCE: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Directory with the ledgers.
    pub(crate) audit: PathBuf,
    /// Directory with the positions of the sinks.
    pub(crate) positions: PathBuf,
    /// Names of the sinks.
    pub(crate) sinks: Vec<String>,
}

/// Listens, as configured.
///
/// # Errors
/// When the address can't be had.
pub(crate) async fn listen(config: &MetricsConfig) -> io::Result<TcpListener> {
    TcpListener::bind(config.listen).await
}

/// Serves for as long as it is polled. Must run in a `LocalSet`.
pub(crate) async fn serve(listener: TcpListener, site: Site) {
    let site = Rc::new(site);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let site = Rc::clone(&site);
        tokio::task::spawn_local(async move {
            let service = hyper::service::service_fn(move |request| {
                let answer = site.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let server = server
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(16 * 1024)
                .keep_alive(false);
            let served = server.serve_connection(TokioIo::new(stream), service);
            // Whoever is too slow, or gone, gets nothing.
            let _ = tokio::time::timeout(PATIENCE * 2, served).await;
            drop(place);
        });
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Page {
    fn says(status: StatusCode, text: &str) -> Page {
        Page {
            status,
            kind: TEXT,
            text: format!("{text}\n"),
        }
    }

    fn metrics(text: String) -> Page {
        Page {
            status: StatusCode::OK,
            kind: EXPOSITION,
            text,
        }
    }

    /// 200, or 503 with the reason.
    fn whether(well: Result<(), String>) -> Page {
        match well {
            Ok(()) => Page::says(StatusCode::OK, "ok"),
            Err(reason) => Page::says(StatusCode::SERVICE_UNAVAILABLE, &reason),
        }
    }
}

impl Site {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let page = match *request.method() {
            Method::GET | Method::HEAD => self.page(request.uri().path(), unix_ms()),
            _ => Page::says(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here"),
        };
        let mut response = Response::new(Full::new(Bytes::from(page.text)));
        *response.status_mut() = page.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn page(&self, path: &str, now_ms: u64) -> Page {
        let not_here = || {
            let text = "nothing is here; there are /STAGE/metrics, /STAGE/health, /STAGE/ready, /sinks/metrics and /health";
            Page::says(StatusCode::NOT_FOUND, text)
        };
        if path == "/health" {
            return Page::whether(self.all_live(now_ms));
        }
        let Some((of, what)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return not_here();
        };
        if (of, what) == ("sinks", "metrics") {
            return Page::metrics(self.behind());
        }
        let Some(stage) = Stage::ALL.into_iter().find(|stage| stage.name() == of) else {
            return not_here();
        };
        match what {
            "metrics" => match self.status_of(stage) {
                Ok(text) => Page::metrics(text),
                Err(error) => Page::says(StatusCode::SERVICE_UNAVAILABLE, &unknown(stage, &error)),
            },
            "health" => Page::whether(self.lives(stage, now_ms).map(drop)),
            "ready" => Page::whether(self.is_ready(stage, now_ms)),
            _ => not_here(),
        }
    }

    /// The file that a stage has written.
    fn status_of(&self, stage: Stage) -> io::Result<String> {
        let file = postern_ledger::open_regular(&self.audit.join(stage.name()).join(STATUS_FILE))?;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The file of a stage, if it is of these seconds.
    fn lives(&self, stage: Stage, now_ms: u64) -> Result<String, String> {
        let text = self.status_of(stage).map_err(|error| unknown(stage, &error))?;
        let written_ms = value_of(&text, WRITTEN).map(|seconds| seconds * 1000.0);
        let Some(written_ms) = written_ms else {
            return Err(format!("{stage} has written a status that is none"));
        };
        let age_ms = now_ms as f64 - written_ms;
        if age_ms.abs() > STALE_MS as f64 {
            return Err(format!("{stage} has said nothing for {:.0} s", age_ms / 1000.0));
        }
        Ok(text)
    }

    fn is_ready(&self, stage: Stage, now_ms: u64) -> Result<(), String> {
        let text = self.lives(stage, now_ms)?;
        match value_of(&text, READY) {
            Some(1.0) => Ok(()),
            _ => Err(format!("{stage} is not connected to both of its NATS servers")),
        }
    }

    /// Whether all stages live whose ledgers are on this machine.
    fn all_live(&self, now_ms: u64) -> Result<(), String> {
        let here: Vec<Stage> = Stage::ALL
            .into_iter()
            .filter(|stage| self.audit.join(stage.name()).is_dir())
            .collect();
        if here.is_empty() {
            return Err("there is no ledger of any stage here".to_owned());
        }
        here.into_iter()
            .try_for_each(|stage| self.lives(stage, now_ms).map(drop))
    }

    /// How many records each sink has yet to get confirmed.
    fn behind(&self) -> String {
        let name = "postern_sink_records_behind";
        let mut text =
            format!("# HELP {name} Records that the collector has not confirmed yet.\n# TYPE {name} gauge\n");
        for sink in &self.sinks {
            let Ok(positions) = PositionsFile::new(&self.positions, sink).read() else {
                continue;
            };
            for author in Author::ALL {
                let ledger = self.audit.join(author.name());
                let Ok(committed) = postern_ledger::committed(&ledger) else {
                    continue;
                };
                if committed == 0 {
                    // That of another machine.
                    continue;
                }
                let confirmed = positions.get(&author).map_or(0, |mark| mark.number);
                let behind = committed.saturating_sub(confirmed);
                let _ = writeln!(text, "{name}{{sink=\"{sink}\",ledger=\"{author}\"}} {behind}");
            }
        }
        text
    }
}

fn unknown(stage: Stage, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{stage} has not run here"),
        _ => format!("the status of {stage} can't be read"),
    }
}

/// The value of a metric without labels.
fn value_of(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::positions::{Mark, Positions};
    use postern_ledger::{Event, Ledger, Record};
    use postern_types::InstanceId;
    use std::fs;

    const NOW: u64 = 1_795_428_000_000;

    fn site(files: &tempfile::TempDir) -> Site {
        Site {
            audit: files.path().join("audit"),
            positions: files.path().join("audit/sent"),
            sinks: vec!["siem".to_owned()],
        }
    }

    fn says(files: &tempfile::TempDir, ready: u8, seconds: &str) {
        let directory = files.path().join("audit/backend");
        fs::create_dir_all(&directory).unwrap();
        let text = format!("# HELP x y\npostern_status_time_seconds {seconds}\npostern_ready {ready}\n");
        fs::write(directory.join(STATUS_FILE), text).unwrap();
    }

    #[test]
    fn a_stage_lives_while_it_writes_and_is_ready_while_it_says_so() {
        let files = tempfile::tempdir().unwrap();
        let site = site(&files);
        let status = |path: &str| site.page(path, NOW).status.as_u16();
        assert_eq!(status("/backend/health"), 503);
        assert_eq!(status("/health"), 503);
        says(&files, 1, "1795427998.500");
        for path in ["/backend/health", "/backend/ready", "/backend/metrics", "/health"] {
            assert_eq!(status(path), 200, "{path}");
        }
        says(&files, 0, "1795427998.500");
        assert_eq!((status("/backend/health"), status("/backend/ready")), (200, 503));
        for (age, seconds) in [
            ("old", "1795427990.000"),
            ("of tomorrow", "1795514400.000"),
            ("none", "soon"),
        ] {
            says(&files, 1, seconds);
            assert_eq!(
                (status("/backend/health"), status("/backend/ready")),
                (503, 503),
                "{age}"
            );
            assert_eq!(status("/health"), 503);
            assert_eq!(status("/backend/metrics"), 200);
        }
        let told = site.page("/backend/health", NOW).text;
        assert_eq!(told, "backend has written a status that is none\n");
    }

    #[test]
    fn no_other_file_is_served() {
        let files = tempfile::tempdir().unwrap();
        says(&files, 1, "1795427998.500");
        fs::write(files.path().join("audit/metrics.prom"), "no").unwrap();
        let site = site(&files);
        for path in [
            "",
            "/",
            "/metrics",
            "/backend",
            "/backend/",
            "/backend/head",
            "/../metrics",
            "/backend/../metrics",
            "/sinks/health",
            "//metrics",
            "/%2e%2e/metrics",
        ] {
            assert_eq!(site.page(path, NOW).status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn a_status_that_is_not_a_file_of_its_own_is_not_served() {
        let files = tempfile::tempdir().unwrap();
        let site = site(&files);
        let directory = site.audit.join("backend");
        fs::create_dir_all(&directory).unwrap();
        let place = directory.join(STATUS_FILE);
        fs::write(files.path().join("token"), "secret").unwrap();
        std::os::unix::fs::symlink(files.path().join("token"), &place).unwrap();
        let refused = |page: Page| {
            assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(!page.text.contains("secret"), "{page:?}");
        };
        refused(site.page("/backend/metrics", NOW));
        fs::remove_file(&place).unwrap();
        // Nobody writes to it: whoever just opened it would wait for ever.
        rustix::fs::mkfifoat(rustix::fs::CWD, &place, rustix::fs::Mode::RUSR).unwrap();
        refused(site.page("/backend/metrics", NOW));
    }

    #[test]
    fn how_far_behind_a_sink_is() {
        let files = tempfile::tempdir().unwrap();
        let site = site(&files);
        let directory = site.audit.join("backend");
        let mut ledger = Ledger::open(&directory, Stage::Backend, InstanceId([1; 16]), NOW).unwrap();
        for _ in 0..9 {
            ledger.append(&Record::new(Event::Exchange));
        }
        ledger.commit().unwrap();
        let behind = || site.page("/sinks/metrics", NOW).text;
        let line = |n: u64| format!("postern_sink_records_behind{{sink=\"siem\",ledger=\"backend\"}} {n}\n");
        assert!(behind().ends_with(&line(10)), "{}", behind());
        fs::create_dir_all(&site.positions).unwrap();
        let mark = Mark {
            number: 7,
            hash: "00".repeat(32),
        };
        let positions = Positions::from([(Stage::Backend.into(), mark)]);
        PositionsFile::new(&site.positions, "siem")
            .write(&positions)
            .unwrap();
        assert!(behind().ends_with(&line(3)), "{}", behind());
    }
}
