//! The process against object storage with Object Lock, and against one without.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod scene;

use postern_cli::secret_file;
use postern_ledger::{PublicKey, SigningKey, Witness};
use postern_testkit::Stage;
use postern_testkit::s3::S3;
use scene::Scene;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

fn begin(bucket: &str) -> (Scene, S3) {
    let scene = Scene::new();
    let s3 = S3::start(scene.files.path()).unwrap();
    secret_file::directory(&scene.files.path().join("secrets")).unwrap();
    secret_file::write(&scene.files.path().join("secrets/id"), S3::ACCESS_KEY).unwrap();
    secret_file::write(&scene.files.path().join("secrets/key"), S3::SECRET_KEY).unwrap();
    s3.ask(
        "lock = dict(CreateBucketConfiguration=dict(LocationConstraint='eu-central-1'))\n\
         s3.create_bucket(Bucket='audit', ObjectLockEnabledForBucket=True, **lock)\n\
         s3.create_bucket(Bucket='plain', **lock)",
    )
    .unwrap();
    scene.configure(&format!(
        "kind = \"s3\"\nendpoint = \"{}\"\nbucket = \"{bucket}\"\nregion = \"eu-central-1\"\nprefix = \"shop\"\n\
         access_key_file = \"secrets/id\"\nsecret_key_file = \"secrets/key\"\nretain_days = 30\nevery_s = 1\n",
        s3.endpoint()
    ));
    (scene, s3)
}

/// Key and content of each object, in the order of their names.
fn objects(s3: &S3) -> Vec<(String, String)> {
    let listed = s3
        .ask(
            "import json\n\
             keys = sorted(one['Key'] for one in s3.list_objects_v2(Bucket='audit').get('Contents', []))\n\
             print(json.dumps([(key, s3.get_object(Bucket='audit', Key=key)['Body'].read().decode()) for key in keys]))",
        )
        .unwrap();
    serde_json::from_str(&listed).unwrap()
}

fn wait_for_lines(s3: &S3, scene: &Scene, lines: usize) -> Vec<(String, String)> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let objects = objects(s3);
        let there: BTreeSet<&str> = objects.iter().flat_map(|(_, text)| text.lines()).collect();
        if there.len() >= lines {
            return objects;
        }
        assert!(
            Instant::now() < end,
            "{} of {lines}: {}",
            there.len(),
            scene.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn checkpoints_are_stored_where_nobody_can_remove_them() {
    let (mut scene, s3) = begin("audit");
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    scene.write(10);
    scene.sign(&key);
    scene.run_sink();
    wait_for_lines(&s3, &scene, 4);
    for _ in 0..3 {
        scene.write(5);
        scene.sign(&key);
        std::thread::sleep(Duration::from_millis(600));
    }
    wait_for_lines(&s3, &scene, 16);
    scene.kill_sink();
    // What was stored and not remembered is stored once more.
    fs::remove_file(scene.files.path().join("audit/sent/siem.checkpoints.json")).unwrap();
    scene.write(5);
    scene.sign(&key);
    scene.run_sink();
    let objects = wait_for_lines(&s3, &scene, 20);
    for stage in Stage::ALL {
        let of_stage = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("shop/{stage}/")));
        let mut seen = BTreeSet::new();
        let text: String = of_stage
            .flat_map(|(_, text)| text.lines())
            .filter(|line| seen.insert(line.to_owned()))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(text, scene.checkpoints(stage), "{stage}");
        let public: PublicKey = key.public();
        let ledger = scene.files.path().join("audit").join(stage.name());
        Witness::read(&text, stage, &public).compare(&ledger).unwrap();
    }
    let refused = s3
        .ask(
            "import botocore\n\
             one = s3.list_object_versions(Bucket='audit')['Versions'][0]\n\
             until = s3.head_object(Bucket='audit', Key=one['Key'])\n\
             print(until['ObjectLockMode'], (until['ObjectLockRetainUntilDate'] - until['LastModified']).days)\n\
             try:\n    s3.delete_object(Bucket='audit', Key=one['Key'], VersionId=one['VersionId'])\n\
             except botocore.exceptions.ClientError as error:\n    print(error.response['Error']['Code'])",
        )
        .unwrap();
    let lines: Vec<&str> = refused.lines().collect();
    assert!(
        ["COMPLIANCE 30", "COMPLIANCE 29"].contains(&lines[0]),
        "{refused}"
    );
    assert_eq!(lines[1], "AccessDenied");
}

#[test]
fn what_can_not_be_locked_is_not_stored() {
    let (mut scene, s3) = begin("plain");
    scene.write(10);
    scene.sign(&SigningKey::from_seed(&[7; 32]).unwrap());
    scene.run_sink();
    scene.wait_for_log("ObjectLock");
    let stored = s3
        .ask("print(s3.list_objects_v2(Bucket='plain')['KeyCount'])")
        .unwrap();
    assert_eq!(stored.trim(), "0");
}

#[test]
fn a_wrong_secret_is_told_and_does_not_show() {
    let (mut scene, s3) = begin("audit");
    secret_file::write(&scene.files.path().join("secrets/key"), "another secret").unwrap();
    scene.write(10);
    scene.sign(&SigningKey::from_seed(&[7; 32]).unwrap());
    scene.run_sink();
    scene.wait_for_log("403");
    assert!(!scene.log().contains("another secret") && !scene.log().contains("X-Amz-Signature"));
    assert!(objects(&s3).is_empty());
    // It is read again for the next attempt.
    secret_file::write(&scene.files.path().join("secrets/key"), S3::SECRET_KEY).unwrap();
    wait_for_lines(&s3, &scene, 4);
}

#[test]
fn checkpoints_that_were_made_anew_are_stored_beside_the_others() {
    let (mut scene, s3) = begin("audit");
    scene.write(10);
    scene.sign(&SigningKey::from_seed(&[7; 32]).unwrap());
    scene.run_sink();
    let before = wait_for_lines(&s3, &scene, 4);
    let place = scene.files.path().join("audit/checkpoints/backend.jsonl");
    fs::write(&place, "{\"another\":\"history\"}\n{}\n").unwrap();
    scene.wait_for_log("are not those that were sent");
    let after = wait_for_lines(&s3, &scene, 6);
    for one in before {
        assert!(after.contains(&one), "{one:?}");
    }
}
