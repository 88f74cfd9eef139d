//! What `postern up` prints: its own lines, and those of its children with their names in front.

use crate::part::Part;
use std::io::Write as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Longest line of a child that is shown (bytes); the rest is cut.
const LINE_BYTES: usize = 8 * 1024;

/// A line of `postern up` itself.
pub(super) fn own(line: &str) {
    print("postern", line);
}

fn print(name: &str, line: &str) {
    // Nobody to tell when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{name:<18} | {line}");
}

/// Copies what a child writes, until it ends.
pub(super) async fn copy(part: Part, verbose: bool, stream: impl AsyncRead + Unpin) {
    let name = part.name();
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        line.truncate(LINE_BYTES);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if verbose || is_worth_showing(part, text) {
            print(&name, text);
        }
    }
}

/// A NATS server tells a page about itself at each start; only its warnings and errors matter here.
fn is_worth_showing(part: Part, line: &str) -> bool {
    match part {
        Part::Stage(_) | Part::Sinks => true,
        // It warns of every max_payload above 8 MB; ours is 9 MiB on purpose.
        Part::Nats(_) if line.contains("Maximum payloads over") => false,
        Part::Nats(_) => !["[INF]", "[DBG]", "[TRC]"]
            .iter()
            .any(|level| line.contains(level)),
    }
}
