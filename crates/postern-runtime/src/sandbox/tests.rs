use super::*;

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
