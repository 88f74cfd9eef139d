//! A round of the relay, with its records.

use super::*;

#[test]
fn a_round_makes_one_message_for_each_frontend_and_records_first() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(
        directory.path(),
        Stage::ResponseValidator,
        InstanceId([3; 16]),
        NOW,
    )
    .unwrap();
    let Ring {
        validator,
        mut backend,
        mut query_validator,
        mut frontend,
        ..
    } = ring();
    let mut relay = Relay::new(validator, ledger, "clean-resp".into(), || NOW);
    let mut seal = |slot: &str, exchange| {
        let here = header(exchange, 0);
        let mut sealed = Vec::new();
        query_validator
            .seal_body(&here, &contract(ROWS), &[], &mut sealed)
            .unwrap();
        let body = DirtyBody::Part {
            contract: sealed,
            state: AnswerState::default(),
            unsolicited: false,
            steps: None,
            since_us: 0,
        };
        let dirty = Dirty {
            frontend: slot.parse().unwrap(),
            body,
        };
        let payload = [description(), row(), end()].concat();
        let mut out = Vec::new();
        backend.seal_body(&here, &dirty, &[&payload], &mut out).unwrap();
        out
    };
    let mut batches = [Batch::new(), Batch::new()];
    batches[0].push(&seal("frontend-0", 1)).unwrap();
    batches[0].push(&seal("frontend-1", 2)).unwrap();
    batches[1].push(&seal("frontend-0", 3)).unwrap();
    batches[1].push(&[0; 200]).unwrap();
    let mut inputs: Vec<Bytes> = batches
        .iter_mut()
        .map(|batch| Bytes::from(batch.take()))
        .collect();
    inputs.push(Bytes::from_static(b"garbage"));
    let outputs = relay.step(inputs);
    relay.commit().unwrap();

    let mut exchanges = BTreeMap::new();
    for output in outputs {
        let mut payload = output.payload.to_vec();
        for envelope in batch::split(&mut payload).unwrap() {
            let opened = frontend.open(envelope, NOW).unwrap();
            exchanges
                .entry(output.subject.clone())
                .or_insert_with(Vec::new)
                .push(opened.header.exchange);
        }
    }
    let expected = [
        ("clean-resp.frontend-0".to_owned(), vec![1, 3]),
        ("clean-resp.frontend-1".to_owned(), vec![2]),
    ];
    assert_eq!(exchanges, BTreeMap::from(expected));

    let mut lines = String::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            lines += &std::fs::read_to_string(path).unwrap();
        }
    }
    assert_eq!(lines.matches("\"event\":\"exchange\"").count(), 3, "{lines}");
    assert_eq!(
        lines.matches("\"event\":\"envelope.refused\"").count(),
        2,
        "{lines}"
    );
    assert!(
        lines.contains("batch-malformed") && lines.contains("\"malformed\""),
        "{lines}"
    );
    assert!(!lines.contains("secret"));
    relay.close().unwrap();
}
