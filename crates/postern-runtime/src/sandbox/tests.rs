use super::*;
use std::collections::BTreeSet;

#[test]
fn addresses_are_told_from_names() {
    let needs = Needs::default()
        .connecting_to("127.0.0.1", 1)
        .connecting_to("[::1]", 2);
    assert_eq!((needs.connect.as_slice(), needs.read.len()), (&[1, 2][..], 0));
    let needs = Needs::default().connecting_to("db.example", 3);
    assert!(needs.read.contains(&PathBuf::from("/etc/resolv.conf")));
}

#[test]
fn a_url_without_a_port_is_refused() {
    let port = |url| Needs::default().connecting_to_url(url).map(|needs| needs.connect);
    assert_eq!(port("nats://127.0.0.1:4222").unwrap(), [4222]);
    assert_eq!(port("nats://127.0.0.1:4222/").unwrap(), [4222]);
    for odd in [
        "nats://host",
        "nats://host:",
        "nats://host:port",
        "nats://host:70000",
        "",
    ] {
        assert!(matches!(port(odd), Err(SandboxError::NoPort(_))), "{odd}");
    }
}

fn hops(keys: &str) -> (KeysConfig, InletConfig, OutletConfig, LedgerConfig) {
    let inlet = format!(
        "url = 'nats://127.0.0.1:1'\nuser = 'frontend'\nstream = 's'\nconsumer = 'c'\n\
         sign_in = {{ method = 'jwt', jwt_file = '{keys}/a.jwt', seed_file = '{keys}/a.seed' }}\n\
         tls = {{ server_name = 'a.postern', ca_file = '{keys}/ca.crt', certificate_file = '{keys}/tls.crt', \
         key_file = '{keys}/tls.key' }}\n"
    );
    let outlet = format!(
        "url = 'nats://127.0.0.1:2'\nuser = 'frontend'\nstream = 's'\n\
         sign_in = {{ method = 'nkey', seed_file = '{keys}/b.seed' }}\n"
    );
    let keys = "file = 'keys/link/frontend/keys.toml'\n";
    (
        toml::from_str(keys).unwrap(),
        toml::from_str(&inlet).unwrap(),
        toml::from_str(&outlet).unwrap(),
        toml::from_str("directory = 'audit'").unwrap(),
    )
}

fn readable(keys: &str) -> BTreeSet<PathBuf> {
    let (keys, inlet, outlet, ledger) = hops(keys);
    let needs = Needs::of_stage(&keys, &inlet, &outlet, &ledger).unwrap();
    needs.read.into_iter().collect()
}

/// Files that are replaced by others of their name can be read again where they have a directory to themselves.
#[test]
fn only_a_directory_of_the_stages_own_is_opened_as_a_whole() {
    let paths = |paths: &[&str]| -> BTreeSet<PathBuf> { paths.iter().map(PathBuf::from).collect() };
    assert_eq!(
        readable("keys/nats/frontend"),
        paths(&["keys/nats/frontend", "keys/link/frontend", "/dev/null"])
    );
    // Other stages' keys are in this one, and everything is in the ring's own.
    for crowded in ["keys", "keys/link", ".", "..", "keys/.."] {
        let opened = readable(crowded);
        for directory in ["", ".", "..", "keys", "keys/link", "keys/.."] {
            assert!(
                !opened.contains(&PathBuf::from(directory)),
                "{crowded}: {opened:?}"
            );
        }
        assert!(
            opened.contains(&PathBuf::from(format!("{crowded}/a.jwt"))),
            "{opened:?}"
        );
    }
}
