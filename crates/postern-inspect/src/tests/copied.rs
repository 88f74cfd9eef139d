//! Lines of COPY.

use super::*;
use proptest::prelude::*;

fn rules(format: CopyKind) -> CopyRules {
    CopyRules::new(format)
}

fn fields(format: CopyKind, data: &[u8]) -> Result<Vec<Option<String>>, Violation> {
    let line = take_apart(&rules(format), false, data)?;
    let text = |field: Vec<u8>| String::from_utf8(field).unwrap();
    Ok(line.fields.into_iter().map(|field| field.map(text)).collect())
}

fn strings(fields: &[Option<&str>]) -> Vec<Option<String>> {
    fields.iter().map(|field| field.map(str::to_owned)).collect()
}

#[test]
fn text_lines_come_apart() {
    assert_eq!(
        fields(CopyKind::Text, b"1\t\\N\t\ta\\tb\\\\c\\n\n"),
        Ok(strings(&[Some("1"), None, Some(""), Some("a\tb\\c\n")]))
    );
    assert_eq!(fields(CopyKind::Text, b"\n"), Ok(strings(&[Some("")])));
    for broken in [&b"1\t2"[..], b"1\n2\n", b"1\\\n", b""] {
        assert_eq!(fields(CopyKind::Text, broken), Err(Violation::CopyForm));
    }
}

#[test]
fn csv_lines_come_apart() {
    assert_eq!(
        fields(CopyKind::Csv, b"1,,\"\",\"a,\"\"b\"\"\nc\"\n"),
        Ok(strings(&[Some("1"), None, Some(""), Some("a,\"b\"\nc")]))
    );
    for broken in [&b"1,2"[..], b"\"a\n", b"\"a\"b\n", b"a\"b\n", b"1\n2\n"] {
        assert_eq!(
            fields(CopyKind::Csv, broken),
            Err(Violation::CopyForm),
            "{}",
            broken.escape_ascii()
        );
    }
    let mut odd = rules(CopyKind::Csv);
    (odd.delimiter, odd.quote, odd.escape, odd.null) = (b';', b'\'', b'\\', "NULL".into());
    let line = take_apart(&odd, false, b"'it\\'s \\\\';NULL;'NULL'\n").unwrap();
    let expected = [Some(b"it's \\".to_vec()), None, Some(b"NULL".to_vec())];
    assert_eq!(line.fields, expected);
}

#[test]
fn headers_and_trailers_are_no_rows() {
    let mut with_header = rules(CopyKind::Csv);
    with_header.header = true;
    let line = take_apart(&with_header, true, b"id,card\n").unwrap();
    assert!(!line.is_row);
    assert_eq!(line.put_together(&with_header).unwrap(), b"id,card\n");
    assert!(take_apart(&with_header, false, b"id,card\n").unwrap().is_row);

    let binary = rules(CopyKind::Binary);
    let head = [&SIGNATURE[..], &[0; 8]].concat();
    let row = [&b"\0\x02"[..], b"\0\0\0\x02ab", b"\xff\xff\xff\xff"].concat();
    let first = [head.clone(), row.clone()].concat();
    let line = take_apart(&binary, true, &first).unwrap();
    assert_eq!((line.head, line.is_row), (&head[..], true));
    assert_eq!(line.fields, [Some(b"ab".to_vec()), None]);
    assert_eq!(line.put_together(&binary).unwrap(), first);
    assert!(!take_apart(&binary, false, TRAILER).unwrap().is_row);
    assert!(
        !take_apart(&binary, true, &[&head[..], TRAILER].concat())
            .unwrap()
            .is_row
    );
    assert_eq!(frame(true, &first), head);
    assert_eq!(frame(false, TRAILER), TRAILER);
    assert_eq!(frame(false, &row), b"");
    for broken in [&row[..row.len() - 1], &[&row[..], b"x"].concat(), b"\0", b""] {
        assert_eq!(take_apart(&binary, false, broken), Err(Violation::CopyForm));
    }
    assert_eq!(
        take_apart(&binary, true, &row),
        Err(Violation::CopyForm),
        "no header"
    );
}

fn values() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    let text = "[a-zA-Z0-9,;\"'\\\\\t\n\r\u{b}\u{c}\u{8}é.N]{0,12}";
    prop::collection::vec(prop::option::of(text.prop_map(String::into_bytes)), 1..6)
}

proptest! {
    #[test]
    fn what_is_put_together_comes_apart_again(values in values(), format in 0..3) {
        let format = [CopyKind::Text, CopyKind::Csv, CopyKind::Binary][format as usize];
        let line = Line { head: &[], fields: values, tail: if format == CopyKind::Binary { b"" } else { b"\n" }, is_row: true };
        let data = line.put_together(&rules(format)).unwrap();
        let again = take_apart(&rules(format), false, &data).unwrap();
        prop_assert_eq!(&again.fields, &line.fields);
    }

    #[test]
    fn random_lines_never_panic(data in prop::collection::vec(any::<u8>(), 0..60), first in any::<bool>(), format in 0..3) {
        let format = [CopyKind::Text, CopyKind::Csv, CopyKind::Binary][format as usize];
        let _ = take_apart(&rules(format), first, &data);
        let _ = frame(first, &data);
    }
}
