use super::*;
use postern_envelope::Generations;
use std::path::Path;

const ENDING: Ending = Ending {
    grace: Duration::from_secs(300),
    tickets: Duration::from_secs(43_200),
};

fn ring(directory: &Path) -> RingDirectory {
    let ring = RingDirectory::new(directory);
    make(&ring).unwrap();
    ring
}

fn epochs(ring: &RingDirectory) -> Vec<Vec<u32>> {
    read_all(ring).unwrap().values().map(KeyFile::epochs).collect()
}

fn generations(ring: &RingDirectory, stage: Stage, now_ms: u64) -> Generations {
    let file = ring.join(RingDirectory::link_keys(stage));
    KeyFile::read(&file)
        .unwrap()
        .generations(stage, &file, now_ms)
        .unwrap()
}

#[test]
fn keys_are_opened_with_before_they_are_sealed_with_and_for_a_while_after() {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path());
    assert_eq!(epochs(&ring), vec![vec![1]; 4]);
    assert!(switch(&ring, ENDING).is_err(), "nothing is prepared");

    assert_eq!(prepare(&ring).unwrap(), 2);
    assert_eq!(epochs(&ring), vec![vec![1, 2]; 4]);
    let now_ms = unix_ms();
    let others = generations(&ring, Stage::Backend, now_ms).others;
    assert_eq!(
        others[0].until_ms,
        u64::MAX,
        "it may take long until they are sealed with"
    );

    assert_eq!(switch(&ring, ENDING).unwrap(), 2);
    assert_eq!(epochs(&ring), vec![vec![2, 1]; 4]);
    let old = &generations(&ring, Stage::QueryValidator, now_ms).others[0];
    let within = |until_ms: u64, seconds: u64| until_ms.abs_diff(now_ms + seconds * 1000) < 10_000;
    assert!(
        within(old.until_ms, 300) && within(old.own_until_ms, 43_200),
        "{old:?}"
    );
    assert!(
        generations(&ring, Stage::Backend, now_ms + 43_300_000)
            .others
            .is_empty()
    );

    // A second time before the first keys have run out, which they do when they were to.
    let before = KeyFile::read(&ring.join(RingDirectory::link_keys(Stage::Backend))).unwrap();
    prepare(&ring).unwrap();
    switch(&ring, ENDING).unwrap();
    assert_eq!(epochs(&ring), vec![vec![3, 2, 1]; 4]);
    let after = KeyFile::read(&ring.join(RingDirectory::link_keys(Stage::Backend))).unwrap();
    assert_eq!(after.accepted[1], before.accepted[0]);
}

#[test]
fn what_was_interrupted_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path());
    let file = |stage| ring.join(RingDirectory::link_keys(stage));
    prepare(&ring).unwrap();
    // Two have switched when the power goes.
    let halfway: Vec<String> = [Stage::Backend, Stage::ResponseValidator]
        .map(|stage| fs::read_to_string(file(stage)).unwrap())
        .into();
    switch(&ring, ENDING).unwrap();
    for (stage, text) in [Stage::Backend, Stage::ResponseValidator]
        .into_iter()
        .zip(halfway)
    {
        fs::write(file(stage), text).unwrap();
    }
    assert_eq!(prepare(&ring).unwrap(), 3);
    assert_eq!(switch(&ring, ENDING).unwrap(), 3);
    let all = read_all(&ring).unwrap();
    assert!(all.values().all(|keys| keys.epoch == 3));
    for keys in all.values() {
        let mut epochs = keys.epochs();
        epochs.sort_unstable();
        assert_eq!(epochs, [1, 2, 3]);
        assert!(
            keys.accepted
                .iter()
                .all(|old| old.until.is_some() && old.own_until.is_some())
        );
    }
}

#[test]
fn keys_that_have_run_out_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path());
    prepare(&ring).unwrap();
    let now = Ending {
        grace: Duration::ZERO,
        tickets: Duration::ZERO,
    };
    switch(&ring, now).unwrap();
    assert!(!remove_old(&ring).unwrap(), "clocks may differ");
    for stage in Stage::ALL {
        let file = ring.join(RingDirectory::link_keys(stage));
        let mut keys = KeyFile::read(&file).unwrap();
        keys.accepted[0].own_until = Some(Time(1000));
        keys.accepted[0].until = Some(Time(1000));
        write(&ring, stage, &keys).unwrap();
        assert!(file.with_file_name("1.key").exists());
    }
    assert!(remove_old(&ring).unwrap());
    assert_eq!(epochs(&ring), vec![vec![2]; 4]);
    for stage in Stage::ALL {
        let folder = ring.join(RingDirectory::link_keys(stage));
        assert!(!folder.with_file_name("1.key").exists());
        assert!(folder.with_file_name("2.key").exists());
    }
    assert!(!remove_old(&ring).unwrap());
}

#[test]
fn there_is_an_end_to_keys_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path());
    let last = (0..20).take_while(|_| prepare(&ring).is_ok()).count();
    assert_eq!(last, MOST - 1);
}
