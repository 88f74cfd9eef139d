use super::*;

fn config(sink: &str) -> SinksConfig {
    let kind = match sink.split(' ').next() {
        Some("protocol") => "otlp",
        Some("url") => "webhook",
        Some("bucket") => "s3",
        _ => "syslog",
    };
    let text = format!("hostname = \"h\"\n[sinks.siem]\nkind = \"{kind}\"\n{sink}\n");
    postern_runtime::parse_config(Path::new("sinks.toml"), &text).unwrap()
}

fn target(sink: &str) -> anyhow::Result<Target> {
    let config = config(sink);
    config.sinks["siem"].target("siem", &config)
}

#[test]
fn every_way_is_understood() {
    for good in [
        "address = \"udp://127.0.0.1:514\"",
        "address = \"tcp://siem.example:601\"",
        "address = \"tcp://[::1]:601\"\nframing = \"newline\"\nfacility = 23",
        "address = \"tls://siem.example:6514\"\ntls = { ca_file = \"ca.crt\" }",
        "address = \"tls://10.0.0.1:6514\"\ntls = { ca_file = \"ca.crt\", server_name = \"siem\", certificate_file = \"c\", key_file = \"k\" }",
        "address = \"unix:/dev/log\"",
        "protocol = \"grpc\"\nendpoint = \"http://127.0.0.1:4317\"",
        "protocol = \"grpc\"\nendpoint = \"https://otel:4317\"\ntls = { ca_file = \"c\" }\nheaders = { authorization = \"t\" }",
        "protocol = \"http\"\nendpoint = \"http://[::1]:4318\"\nheaders = { authorization = \"t\" }",
        "protocol = \"http\"\nendpoint = \"http://otel:4318/otlp/v1/logs\"",
        "url = \"http://10.0.0.1:9093/api/v2/alerts\"\nformat = \"alertmanager\"\nrepeat_after_s = 0",
        "url = \"https://hooks:443/x/y\"\ntls = { ca_file = \"c\" }\nformat = \"slack\"\nsecret_file = { env = \"HOOK\" }",
        "bucket = \"audit\"\nendpoint = \"https://s3:443\"\ntls = { ca_file = \"c\" }\naccess_key_file = \"a\"\nsecret_key_file = { env = \"S\" }\nretain_days = 400\nmode = \"governance\"",
        "bucket = \"audit\"\nendpoint = \"http://127.0.0.1:9000/\"\nprefix = \"a/b/\"\naccess_key_file = \"a\"\nsecret_key_file = \"s\"\nretain_days = 1\nevery_s = 10",
    ] {
        assert!(target(good).is_ok(), "{good}");
    }
}

#[test]
fn what_can_not_work_is_refused_with_what_to_do() {
    let keys = "access_key_file = \"a\"\nsecret_key_file = \"s\"\nretain_days = 9\n";
    for (bad, reason) in [
        (
            "bucket = \"bbb\"\nendpoint = \"http://s3.example:80\"",
            "https://",
        ),
        (
            "bucket = \"bbb\"\nendpoint = \"http://127.0.0.1:80/b\"",
            "no path",
        ),
        (
            "bucket = \"bbb\"\nendpoint = \"http://127.0.0.1:80\"\nprefix = \"/a\"",
            "`prefix`",
        ),
        (
            "bucket = \"bbb\"\nendpoint = \"http://127.0.0.1:80\"\nprefix = \"a?b\"",
            "`prefix`",
        ),
        (
            "bucket = \"../b\"\nendpoint = \"http://127.0.0.1:80\"",
            "`bucket`",
        ),
    ] {
        let error = target(&format!("{bad}\n{keys}")).map(drop).unwrap_err();
        assert!(format!("{error:#}").contains(reason), "{bad}: {error:#}");
    }
    for (bad, reason) in [
        ("address = \"siem:601\"", "tls://host:port"),
        ("address = \"http://siem:601\"", "not a way"),
        ("address = \"tcp://siem\"", "names no port"),
        ("address = \"tcp://siem:port\"", "names no port"),
        ("address = \"unix:dev/log\"", "absolute path"),
        ("address = \"tls://siem:6514\"", "ca_file"),
        (
            "address = \"tls://siem:6514\"\nframing = \"newline\"\ntls = { ca_file = \"ca\" }",
            "octet counting",
        ),
        (
            "address = \"tcp://siem:601\"\ntls = { ca_file = \"ca\" }",
            "tls:// only",
        ),
        ("address = \"udp://siem:514\"\nfacility = 24", "0 to 23"),
        (
            "address = \"tls://siem:6514\"\ntls = { ca_file = \"ca\", key_file = \"k\" }",
            "go together",
        ),
        (
            "protocol = \"http\"\nendpoint = \"otel:4318\"",
            "https://host:port",
        ),
        (
            "protocol = \"http\"\nendpoint = \"http://otel/v1/logs\"",
            "names no port",
        ),
        (
            "protocol = \"grpc\"\nendpoint = \"http://otel:4317/v1\"",
            "no path",
        ),
        ("protocol = \"grpc\"\nendpoint = \"https://otel:4317\"", "ca_file"),
        (
            "protocol = \"grpc\"\nendpoint = \"http://otel:4317\"\ntls = { ca_file = \"c\" }",
            "https:// only",
        ),
        ("protocol = \"grpc\"\nendpoint = \"tcp://otel:4317\"", "not a way"),
        (
            "protocol = \"http\"\nendpoint = \"http://otel:4318\"\nheaders = { authorization = \"t\" }",
            "anybody on the way",
        ),
        (
            "url = \"http://10.0.0.7:80/x\"\nheaders = { authorization = \"t\" }",
            "anybody on the way",
        ),
        ("url = \"hooks:80\"", "https://host:port"),
        ("url = \"https://hooks/x\"", "names no port"),
    ] {
        let error = target(bad).err().map(|error| format!("{error:#}"));
        assert!(
            error.as_ref().is_some_and(|error| error.contains(reason)),
            "{bad}: {error:?}"
        );
    }
    let unknown = "[sinks.a]\nkind = \"syslog\"\naddress = \"udp://a:1\"\nport = 5\n";
    assert!(postern_runtime::parse_config::<SinksConfig>(Path::new("s"), unknown).is_err());
}

#[test]
fn names_are_file_names() {
    let config = config("address = \"udp://127.0.0.1:514\"");
    for bad in ["", "..", "a/b", "SIEM", "a.b", &"a".repeat(64)] {
        assert!(config.sinks["siem"].target(bad, &config).is_err(), "{bad}");
    }
}

#[test]
fn the_sandbox_lets_it_reach_its_collectors_and_no_key_of_a_stage() {
    let tls = "tls = { ca_file = \"keys/sinks/ca.crt\", certificate_file = \"keys/c.crt\", key_file = \"keys/c.key\" }";
    let needs = config(&format!("address = \"tls://siem.example:6514\"\n{tls}"))
        .needs()
        .unwrap();
    let told = format!("{needs:?}");
    assert!(told.contains("connect: [6514]"), "{told}");
    assert!(
        told.contains("write: [\"audit/sent\"]"),
        "it can't change a ledger: {told}"
    );
    for read in [
        "\"audit\"",
        "\"keys/sinks\"",
        "\"keys/c.crt\"",
        "\"keys/c.key\"",
        "\"/etc/hosts\"",
    ] {
        assert!(told.contains(read), "{read}: {told}");
    }
    assert!(!told.contains("\"keys\""), "{told}");
    let otlp = "protocol = \"http\"\nendpoint = \"http://10.0.0.1:4318/v1/logs\"\nheaders = { authorization = \"keys/sinks/token\" }";
    let told = format!("{:?}", config(otlp).needs().unwrap());
    assert!(
        told.contains("connect: [4318]") && told.contains("\"keys/sinks\""),
        "{told}"
    );
    let needs = config("address = \"udp://127.0.0.1:514\"").needs().unwrap();
    assert!(format!("{needs:?}").contains("connect: []"));
}
