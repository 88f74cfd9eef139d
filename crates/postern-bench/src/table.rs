//! The report as a person reads it.

use serde_json::Value;
use std::fmt::Write as _;

/// A figure's name, where it is in each column's object, and places after the point.
type Row = (&'static str, &'static str, usize);

const COLUMNS: [(&str, &str); 4] = [
    ("empty ring", "ring_echo"),
    ("direct", "direct"),
    ("PgBouncer", "pgbouncer"),
    ("Postern", "postern"),
];

const ROWS: [Row; 16] = [
    ("SELECT by key, 1 client: p50 µs", "p50_us_1", 0),
    ("                         p99 µs", "p99_us_1", 0),
    ("32 clients: transactions/s", "tps_32", 0),
    ("            p50 µs", "p50_us_32", 0),
    ("            p99 µs", "p99_us_32", 0),
    ("one message each: round trips/s", "tps_32_one_message_each", 0),
    ("prepared, 1 client: p50 µs", "prepared/p50_us_1", 0),
    ("prepared, 32 clients: tps", "prepared/tps_32", 0),
    ("simple, 1 client: p50 µs", "simple/p50_us_1", 0),
    ("simple, 32 clients: tps", "simple/tps_32", 0),
    ("TPC-B, 32 clients: tps", "tpcb/tps_32", 0),
    ("failed transactions", "failed_transactions", 0),
    ("clients that gave up", "aborted_clients", 0),
    ("COPY out MB/s", "copy_out_mb_s", 0),
    ("SELECT out MB/s", "select_out_mb_s", 0),
    ("COPY in MB/s", "copy_in_mb_s", 0),
];

/// Name of a ratio, its key, and what design asks of it.
const RATIOS: [(&str, &str, &str); 9] = [
    (
        "(Postern p50 - direct p50) / empty ring's p50",
        "p50_minus_direct_over_echo",
        "goal: at most 1.25",
    ),
    ("32 clients: Postern / direct", "tps_32_over_direct", ""),
    (
        "32 clients: Postern / PgBouncer",
        "tps_32_over_pgbouncer",
        "goal: at least 0.75",
    ),
    ("32 clients: Postern / empty ring", "tps_32_over_ring_echo", ""),
    ("TPC-B: Postern / direct", "tpcb_tps_32_over_direct", ""),
    ("TPC-B: Postern / PgBouncer", "tpcb_tps_32_over_pgbouncer", ""),
    (
        "COPY out: Postern / direct",
        "copy_out_over_direct",
        "goal: at least 0.4",
    ),
    (
        "SELECT out: Postern / direct",
        "select_out_over_direct",
        "goal: at least 0.4",
    ),
    ("COPY in: Postern / direct", "copy_in_over_direct", ""),
];

/// Draws everything that is in the report.
pub(crate) fn draw(report: &Value) -> String {
    let mut out = String::from("\n");
    line(&mut out, "", COLUMNS.iter().map(|(title, _)| (*title).to_owned()));
    for (name, path, places) in ROWS {
        let cells = COLUMNS.iter().map(|(_, column)| {
            let figure = report.pointer(&format!("/{column}/{path}"));
            number(figure, places)
        });
        line(&mut out, name, cells);
    }
    out.push('\n');
    for (name, key, goal) in RATIOS {
        let ratio = number(report.pointer(&format!("/ratios/{key}")), 2);
        let text = format!("   {name:<48} {ratio:>6}   {goal}");
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out.push('\n');
    processes(&mut out, report);
    circumstances(&mut out, report);
    out
}

fn processes(out: &mut String, report: &Value) {
    let titles = ["peak MiB", "now MiB", "CPU µs/tx, 1", "CPU µs/tx, 32"];
    let keys = [
        ("peak_rss_mb", 1),
        ("rss_mb", 1),
        ("cpu_us_per_transaction_1", 1),
        ("cpu_us_per_transaction_32", 1),
    ];
    line(
        out,
        "Postern's processes",
        titles.iter().map(|title| (*title).to_owned()),
    );
    let Some(Value::Object(peaks)) = report.pointer("/postern/peak_rss_mb") else {
        return;
    };
    for process in peaks.keys() {
        let cells = keys.iter().map(|(key, places)| {
            number(
                report
                    .pointer("/postern")
                    .and_then(|of| of.get(key)?.get(process)),
                *places,
            )
        });
        line(out, process, cells);
    }
}

fn circumstances(out: &mut String, report: &Value) {
    let about = report.get("about");
    let text = |key: &str| match about.and_then(|about| about.get(key)).unwrap_or(&Value::Null) {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let pooler = match about.and_then(|about| about.get("pgbouncer")) {
        Some(Value::String(version)) => format!("PgBouncer {version}"),
        _ => "no PgBouncer".to_owned(),
    };
    let _ = write!(
        out,
        "
   PostgreSQL {}, {pooler}, {} server connections each; role with a list of statements; no TLS.
   {} rounds of {} s, medians; bulk of {} MB. {} cores, load average {} before and {} after; {} s in all.
   Peaks are since the start and include the bulk transfers.
",
        text("postgresql"),
        text("pool_size"),
        text("rounds"),
        text("seconds_per_round"),
        text("bulk_mb"),
        text("cores"),
        text("load_average_before"),
        text("load_average_after"),
        text("seconds"),
    );
}

fn line(out: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(out, "   {name:<32}");
    for cell in cells {
        let _ = write!(out, " {cell:>13}");
    }
    out.push('\n');
}

/// A number with so many places after the point, or a dash.
fn number(value: Option<&Value>, places: usize) -> String {
    match value.and_then(Value::as_f64) {
        Some(number) => format!("{number:.places$}"),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_stands_in_the_column_of_its_place() {
        let report = json!({
            "ring_echo": {"p50_us_1": 400.0},
            "direct": {"p50_us_1": 111.0, "tpcb": {"tps_32": 5.4}},
            "pgbouncer": null,
            "postern": {"p50_us_1": 600.2, "peak_rss_mb": {"frontend": 12.34}, "rss_mb": {"frontend": 11.0}},
            "ratios": {"p50_minus_direct_over_echo": 1.22},
            "about": {},
        });
        let drawn = draw(&report);
        let words = |start: &str| -> Vec<String> {
            let line = drawn.lines().find(|line| line.trim().starts_with(start)).unwrap();
            let cells = line.trim().strip_prefix(start).unwrap();
            cells.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(
            words("SELECT by key, 1 client: p50 µs"),
            ["400", "111", "-", "600"]
        );
        assert_eq!(words("TPC-B, 32 clients: tps"), ["-", "5", "-", "-"]);
        assert_eq!(words("frontend"), ["12.3", "11.0", "-", "-"]);
        assert!(drawn.contains("1.22"));
        assert!(drawn.contains("no PgBouncer"));
    }
}
