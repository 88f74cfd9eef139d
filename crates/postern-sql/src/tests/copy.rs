//! How a COPY TO STDOUT is written.

use super::one;
use postern_types::{CopyKind, CopyRules};

fn of(options: &str) -> Option<CopyRules> {
    one(&format!("COPY t TO STDOUT {options}")).copy
}

#[test]
fn options_are_read_as_postgresql_reads_them() {
    let text = CopyRules::new(CopyKind::Text);
    let csv = CopyRules::new(CopyKind::Csv);
    let binary = CopyRules::new(CopyKind::Binary);
    for (options, expected) in [
        ("", text.clone()),
        ("(FORMAT text)", text.clone()),
        ("(FORMAT csv)", csv.clone()),
        ("CSV", csv.clone()),
        ("(FORMAT binary)", binary.clone()),
        ("WITH BINARY", binary.clone()),
        ("(ENCODING 'UTF8')", text.clone()),
        ("(FORMAT csv, FORCE_QUOTE *)", csv.clone()),
        ("(FORMAT csv, FORCE_QUOTE (a, b))", csv.clone()),
        (
            "(DELIMITER '|')",
            CopyRules {
                delimiter: b'|',
                ..text.clone()
            },
        ),
        (
            "DELIMITER AS ';' NULL AS 'x'",
            CopyRules {
                delimiter: b';',
                null: "x".to_owned(),
                ..text.clone()
            },
        ),
        (
            "(NULL '')",
            CopyRules {
                null: String::new(),
                ..text.clone()
            },
        ),
        // Without an ESCAPE the quote is its own.
        (
            "(FORMAT csv, QUOTE '''')",
            CopyRules {
                quote: b'\'',
                escape: b'\'',
                ..csv.clone()
            },
        ),
        (
            "(FORMAT csv, QUOTE '!', ESCAPE '\\')",
            CopyRules {
                quote: b'!',
                escape: b'\\',
                ..csv.clone()
            },
        ),
        (
            "(FORMAT csv, ESCAPE '\\')",
            CopyRules {
                escape: b'\\',
                ..csv.clone()
            },
        ),
        (
            "CSV HEADER",
            CopyRules {
                header: true,
                ..csv.clone()
            },
        ),
        (
            "(HEADER)",
            CopyRules {
                header: true,
                ..text.clone()
            },
        ),
        (
            "(HEADER true)",
            CopyRules {
                header: true,
                ..text.clone()
            },
        ),
        (
            "(HEADER 'on')",
            CopyRules {
                header: true,
                ..text.clone()
            },
        ),
        (
            "(HEADER 1)",
            CopyRules {
                header: true,
                ..text.clone()
            },
        ),
        ("(HEADER off)", text.clone()),
        ("(HEADER 0)", text),
    ] {
        assert_eq!(of(options), Some(expected), "{options}");
    }
    assert_eq!(one("COPY (SELECT 1) TO STDOUT (FORMAT csv)").copy, Some(csv));
}

#[test]
fn what_is_not_understood_is_not_known() {
    for options in [
        "(FORMAT parquet)",
        "(FORMAT csv, FORMAT text)",
        "(DELIMITER 'ab')",
        "(DELIMITER 'é')",
        "(DELIMITER '')",
        "(DELIMITER 7)",
        "(HEADER match)",
        "(HEADER 2)",
        "(ENCODING 'LATIN1')",
        "(SOMETHING new)",
        "(FREEZE)",
    ] {
        assert_eq!(of(options), None, "{options}");
    }
    for other in [
        "COPY t FROM STDIN",
        "COPY t TO '/tmp/x'",
        "SELECT 1",
        "COPY t TO PROGRAM 'cat'",
    ] {
        assert_eq!(one(other).copy, None, "{other}");
    }
}
