//! Servers that are not the database, or do not do what it must.

use super::*;
use std::io::Write as _;
use tokio::net::TcpListener;

/// What somebody sends who takes every client for granted: AuthenticationOk, settings, ReadyForQuery.
fn open_door() -> Vec<u8> {
    let mut bytes = vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0];
    for (name, value) in [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")] {
        let body = [name.as_bytes(), &[0], value.as_bytes(), &[0]].concat();
        bytes.push(b'S');
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(&body);
    }
    bytes.extend_from_slice(&[b'Z', 0, 0, 0, 5, b'I']);
    bytes
}

/// AuthenticationSASL with these mechanisms.
fn sasl(mechanisms: &str) -> Vec<u8> {
    let body = [
        &[0, 0, 0, 10][..],
        mechanisms.replace(' ', "\0").as_bytes(),
        &[0, 0],
    ]
    .concat();
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&b"R"[..], &length, &body].concat()
}

/// Connects to a server that sends this to everybody.
async fn connect(answer: Vec<u8>, settings: &str) -> Result<(), ConnectError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut start_up = [0; 1024];
        let _ = client.read(&mut start_up).await;
        let _ = client.write_all(&answer).await;
        let _ = client.read(&mut start_up).await;
    });
    let text = format!(
        "host = \"127.0.0.1\"\nport = {port}\nname = \"d\"\nuser = \"u\"\nconnect_timeout_ms = 5000\n{settings}"
    );
    let config: DatabaseConfig = toml::from_str(&text).unwrap();
    let connector = Connector::new(&config).unwrap();
    connector.connect(Place::apart()).await.map(drop)
}

fn password() -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"secret\n").unwrap();
    let setting = format!("password_file = \"{}\"\n", file.path().display());
    (file, setting)
}

#[tokio::test]
async fn a_server_that_does_not_ask_for_the_password_is_not_taken_for_the_database() {
    let (_file, password) = password();
    let refused = connect(open_door(), &(password + "tls = \"disable\"\n")).await;
    assert!(matches!(refused, Err(ConnectError::Unproved)), "{refused:?}");
    // Where no password is configured, that is what is expected.
    connect(open_door(), "tls = \"disable\"\n").await.unwrap();
    let refused = connect(open_door(), "tls = \"disable\"\nchannel_binding = \"require\"\n").await;
    assert!(matches!(refused, Err(ConnectError::NoBinding)), "{refused:?}");
}

#[tokio::test]
async fn required_channel_binding_is_not_given_up() {
    let (_file, password) = password();
    for offered in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS SCRAM-SHA-256"] {
        let settings = format!("{password}tls = \"disable\"\nchannel_binding = \"require\"\n");
        let refused = connect(sasl(offered), &settings).await;
        assert!(
            matches!(refused, Err(ConnectError::NoBinding)),
            "{offered}: {refused:?}"
        );
    }
}
