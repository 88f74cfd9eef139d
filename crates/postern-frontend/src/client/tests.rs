//! Real sockets on one side, a ring of our own with real seals on the other.

use super::*;
use crate::config::{LimitsConfig, TlsMode};
use crate::frontend::Parts;
use crate::inlet::{Openers, Sorter};
use crate::listener;
use crate::session::Outgoing;
use crate::tls::ALPN;
use bytes::Bytes;
use postern_envelope::{Batch, Epochs, Header, Keyring, Sealer, SecretKey};
use postern_ledger::Ledger;
use postern_types::ring::{Answer, Opened, RequestBody, SignInAnswer};
use postern_types::{AnswerState, InstanceId, Link, Stage, body};
use postern_wire::{
    TransactionStatus, backend_frame, put_command_complete, put_query, put_ready, put_sasl_initial,
    put_ssl_request, put_startup,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::LocalSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// The other three stages, as far as the Frontend can tell.
struct Ring {
    frontend: Rc<Frontend>,
    sorter: Sorter,
    answers: Sealer,
    sign_in: Sealer,
    requests: Vec<Outgoing>,
}

impl Ring {
    /// Waits for the next request.
    async fn next(&mut self) -> Outgoing {
        while self.requests.is_empty() {
            self.frontend.queue.filled().await;
            self.frontend.queue.take(&mut self.requests);
        }
        self.requests.remove(0)
    }

    fn answer(&mut self, request: &Outgoing, sequence: u64, answer: &Answer, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            session: request.session,
            sequence,
            exchange: request.exchange,
            part: 0,
            deadline_ms: Header::NO_DEADLINE,
        };
        let mut batch = Batch::new();
        batch
            .push_with(|out| self.answers.seal_body(&header, answer, &[payload], out))
            .unwrap();
        let message = batch.take();
        self.deliver(message.clone());
        message
    }

    fn deliver(&mut self, message: Vec<u8>) {
        self.sorter.message(Bytes::from(message), Instant::now());
        self.sorter.hand_on().unwrap();
    }

    fn sign_in_answer(&mut self, request: &Outgoing, answer: &SignInAnswer, opened: Option<Opened>) {
        let header = Header {
            session: request.session,
            sequence: request.sequence,
            exchange: 0,
            part: 0,
            deadline_ms: Header::NO_DEADLINE,
        };
        let mut blob = Vec::new();
        let body = {
            let mut out = Vec::new();
            body::encode(answer, &[], &mut out).unwrap();
            out
        };
        self.sign_in.seal(&header, &body, &mut blob).unwrap();
        self.answer(
            request,
            request.sequence,
            &Answer::SignIn { answer: blob, opened },
            b"",
        );
    }

    /// Lets whoever asks sign in.
    async fn accept(&mut self) {
        let first = self.next().await;
        let RequestBody::SignIn(step) = &first.body else {
            panic!("{first:?}")
        };
        assert_eq!((step.user.as_str(), step.database.as_str()), ("app", "demo"));
        assert_eq!((step.message.as_slice(), &step.state), (&b"first"[..], &None));
        let go_on = SignInAnswer::Continue {
            message: b"challenge".to_vec(),
            state: b"state".to_vec(),
        };
        self.sign_in_answer(&first, &go_on, None);
        let second = self.next().await;
        let RequestBody::SignIn(step) = &second.body else {
            panic!("{second:?}")
        };
        assert_eq!(
            (step.message.as_slice(), step.state.as_deref()),
            (&b"proof"[..], Some(&b"state"[..]))
        );
        let accepted = SignInAnswer::Accepted {
            message: b"final".to_vec(),
            ticket: b"ticket".to_vec(),
        };
        let settings = vec![("server_version".to_owned(), "18.0".to_owned())];
        self.sign_in_answer(&second, &accepted, Some(Opened::Ready(settings)));
    }

    /// Answers an exchange in one part.
    fn complete(&mut self, request: &Outgoing, sequence: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        put_command_complete(&mut payload, "SELECT 1");
        put_ready(&mut payload, TransactionStatus::Idle);
        let start = postern_inspect::digest(&AnswerState::default());
        let part = Answer::Part {
            before: Some(start),
            after: start,
            parsed: 0,
            copy_in: false,
            last: true,
            hang_up: false,
        };
        self.answer(request, sequence, &part, &payload)
    }
}

fn keyring(stage: Stage, secrets: &BTreeMap<Stage, SecretKey>) -> Keyring {
    let text = secrets[&stage].to_base64();
    let secret = SecretKey::parse(text.as_str()).unwrap();
    let peers = secrets
        .iter()
        .map(|(stage, secret)| (*stage, secret.public()))
        .collect();
    let epochs = Epochs {
        current: 1,
        previous: None,
    };
    Keyring::new(stage, InstanceId::random().unwrap(), secret, peers, epochs)
}

struct Setup {
    tls_mode: TlsMode,
    limits: LimitsConfig,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            tls_mode: TlsMode::Prefer,
            limits: LimitsConfig::default(),
        }
    }
}

/// What a test gets: where to connect, the ring, and the Frontend.
struct Gate {
    address: std::net::SocketAddr,
    ring: Ring,
    frontend: Rc<Frontend>,
    certificate: CertificateDer<'static>,
    ledger: tempfile::TempDir,
}

impl Gate {
    async fn open(setup: Setup) -> Gate {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = CertificateDer::from_pem_slice(certified.cert.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(certified.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        server.alpn_protocols = vec![ALPN.to_vec()];
        let tls = (setup.tls_mode != TlsMode::Disable).then(|| TlsAcceptor::from(Arc::new(server)));

        let secrets: BTreeMap<_, _> = Stage::ALL
            .into_iter()
            .map(|stage| (stage, SecretKey::generate().unwrap()))
            .collect();
        let own = keyring(Stage::Frontend, &secrets);
        let ledger = tempfile::tempdir().unwrap();
        let instance = InstanceId::random().unwrap();
        let frontend = Rc::new(Frontend::new(Parts {
            slot: "frontend-0".parse().unwrap(),
            session_limits: setup.limits.checked().unwrap(),
            limits: setup.limits,
            tls_mode: setup.tls_mode,
            tls,
            backends: vec!["backend-0".parse().unwrap()],
            ledger: Ledger::open(ledger.path(), Stage::Frontend, instance, unix_ms()).unwrap(),
            shutdown: CancellationToken::new(),
        }));
        let openers = Openers {
            answers: own.opener(Link::ResponseValidatorToFrontend).unwrap(),
            sign_in: own.opener(Link::QueryValidatorToFrontend).unwrap(),
        };
        let response_validator = keyring(Stage::ResponseValidator, &secrets);
        let query_validator = keyring(Stage::QueryValidator, &secrets);
        let mut ring = Ring {
            frontend: Rc::clone(&frontend),
            sorter: Sorter::new(Rc::clone(&frontend), openers),
            answers: response_validator
                .sealer(Link::ResponseValidatorToFrontend)
                .unwrap(),
            sign_in: query_validator.sealer(Link::QueryValidatorToFrontend).unwrap(),
            requests: Vec::new(),
        };
        let beat = Answer::Heartbeat {
            backend: "backend-0".parse().unwrap(),
            instance: InstanceId([5; 16]),
        };
        let nobody = Outgoing {
            session: postern_types::SessionId::NONE,
            sequence: 0,
            exchange: 0,
            part: 0,
            backend: "backend-0".parse().unwrap(),
            body: RequestBody::Heartbeat,
            payload: Bytes::new(),
        };
        ring.answer(&nobody, 0, &beat, b"");
        let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(listener::run(listener, Rc::clone(&frontend)));
        Gate {
            address,
            ring,
            frontend,
            certificate,
            ledger,
        }
    }

    async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client that is signed in, in clear.
    async fn signed_in(&mut self) -> Client<TcpStream> {
        let mut client = self.connect().await;
        client.send(start).await;
        tokio::join!(client.sign_in(), self.ring.accept());
        client
    }

    fn connector(&self, alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

struct Client<S> {
    stream: S,
    input: BytesMut,
    key: Option<(u32, Vec<u8>)>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Client {
            stream,
            input: BytesMut::new(),
            key: None,
        }
    }

    async fn send(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        put(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next message; `None` at the end.
    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = backend_frame(&self.input, 1 << 20).unwrap() {
                let (tag, body, length) = (frame.tag, frame.body.to_vec(), frame.raw.len());
                let _ = self.input.split_to(length);
                return Some((tag, body));
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// All up to and with ReadyForQuery, or the end.
    async fn answer(&mut self) -> String {
        let mut tags = String::new();
        while let Some((tag, body)) = self.message().await {
            tags.push(char::from(tag));
            if tag == b'K' {
                let (id, key) = body.split_first_chunk::<4>().unwrap();
                self.key = Some((u32::from_be_bytes(*id), key.to_vec()));
            }
            if tag == b'Z' {
                break;
            }
        }
        tags
    }

    async fn sign_in(&mut self) {
        assert_eq!(self.message().await.unwrap().0, b'R');
        self.send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        assert_eq!(
            self.message().await.unwrap(),
            (b'R', b"\0\0\0\x0bchallenge".to_vec())
        );
        self.send(|out| put_password_raw(out, b"proof")).await;
        assert_eq!(self.answer().await, "RRSKZ");
    }

    /// SQLSTATE of the error that comes next; `None` when the connection ends without one.
    async fn error(&mut self) -> Option<String> {
        let (tag, body) = self.message().await?;
        assert_eq!(tag, b'E');
        let at = body.windows(2).position(|pair| pair == [0, b'C']).unwrap() + 2;
        Some(String::from_utf8(body[at..at + 5].to_vec()).unwrap())
    }

    async fn byte(&mut self) -> Option<u8> {
        self.stream.read_u8().await.ok()
    }
}

const SCRAM: &str = "SCRAM-SHA-256";

fn start(out: &mut Vec<u8>) {
    put_startup(out, 0, &[("user", "app"), ("database", "demo")]).unwrap();
}

fn put_password_raw(out: &mut Vec<u8>, data: &[u8]) {
    postern_wire::put_sasl_response(out, data).unwrap();
}

/// Runs a test on one thread, as the Frontend runs.
fn test<F: Future<Output = ()>>(run: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, run()).await.unwrap()
    });
}

#[test]
fn a_client_signs_in_asks_and_is_answered_once() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client.send(|out| put_query(out, "SELECT 1").unwrap()).await;
        let request = gate.ring.next().await;
        assert!(matches!(&request.body, RequestBody::Exchange { ticket, .. } if ticket == b"ticket"));
        assert_eq!(request.sequence, 3);
        let answer = gate.ring.complete(&request, 3);
        // The same envelope again, as a bus may deliver it.
        gate.ring.deliver(answer);
        assert_eq!(client.answer().await, "CZ");
        client.send(|out| put_query(out, "SELECT 1").unwrap()).await;
        let request = gate.ring.next().await;
        gate.ring.complete(&request, 4);
        assert_eq!(client.answer().await, "CZ");
        drop(client);
        let close = gate.ring.next().await;
        assert!(matches!(close.body, RequestBody::Close { .. }));
        assert!(postern_ledger::verify(gate.ledger.path()).is_ok());
    });
}

#[test]
fn a_refused_sign_in_and_a_failed_session_are_told() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client.send(start).await;
        client.message().await.unwrap();
        client
            .send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        let request = gate.ring.next().await;
        let refusal = Refusal::fatal(SqlState::INVALID_PASSWORD, "no");
        gate.ring
            .sign_in_answer(&request, &SignInAnswer::Refused(refusal), None);
        assert_eq!(client.error().await.as_deref(), Some("28P01"));
        assert_eq!(client.message().await, None);
        assert!(gate.frontend.seats().is_empty());
    });
}

#[test]
fn a_sign_in_answer_sealed_by_the_wrong_stage_or_for_another_session_is_worth_nothing() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client.send(start).await;
        client.message().await.unwrap();
        client
            .send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        let request = gate.ring.next().await;
        let other = Outgoing {
            session: postern_types::SessionId([9; 16]),
            body: RequestBody::Heartbeat,
            payload: Bytes::new(),
            backend: request.backend.clone(),
            ..request
        };
        let accepted = SignInAnswer::Accepted {
            message: Vec::new(),
            ticket: Vec::new(),
        };
        let mut body_bytes = Vec::new();
        body::encode(&accepted, &[], &mut body_bytes).unwrap();
        let header = |session| Header {
            session,
            sequence: request.sequence,
            exchange: 0,
            part: 0,
            deadline_ms: Header::NO_DEADLINE,
        };
        let mut forged = Vec::new();
        gate.ring
            .answers
            .seal(&header(request.session), &body_bytes, &mut forged)
            .unwrap();
        let mut foreign = Vec::new();
        gate.ring
            .sign_in
            .seal(&header(other.session), &body_bytes, &mut foreign)
            .unwrap();
        for answer in [forged, foreign] {
            let opened = Some(Opened::Ready(Vec::new()));
            gate.ring.answer(
                &request,
                request.sequence,
                &Answer::SignIn { answer, opened },
                b"",
            );
        }
        let refusal = Refusal::fatal(SqlState::INVALID_PASSWORD, "no");
        gate.ring
            .sign_in_answer(&request, &SignInAnswer::Refused(refusal), None);
        assert_eq!(client.error().await.as_deref(), Some("28P01"));
    });
}

#[test]
fn clear_text_between_the_request_for_tls_and_the_handshake_ends_the_connection() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client
            .send(|out| {
                put_ssl_request(out);
                start(out);
            })
            .await;
        assert_eq!(client.byte().await, None);
    });
}

#[test]
fn tls_is_spoken_after_the_request_and_directly_with_the_right_protocol_only() {
    test(async || {
        let mut gate = Gate::open(Setup {
            tls_mode: TlsMode::Require,
            ..Setup::default()
        })
        .await;
        let name = ServerName::try_from("localhost").unwrap();

        let mut client = gate.connect().await;
        client.send(put_ssl_request).await;
        assert_eq!(client.byte().await, Some(b'S'));
        let tls = gate
            .connector(&[])
            .connect(name.clone(), client.stream)
            .await
            .unwrap();
        let mut client = Client::new(tls);
        client.send(start).await;
        let (_, offer) = client.message().await.unwrap();
        assert!(offer.starts_with(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"));

        let direct = gate
            .connector(&[ALPN])
            .connect(name.clone(), gate.connect().await.stream)
            .await;
        let mut client = Client::new(direct.unwrap());
        client.send(start).await;
        tokio::join!(client.sign_in(), gate.ring.accept());

        let nameless = gate
            .connector(&[])
            .connect(name, gate.connect().await.stream)
            .await
            .unwrap();
        let mut client = Client::new(nameless);
        let _ = client.stream.write_all(b"\0\0\0\x08\0\x03\0\0").await;
        assert_eq!(client.message().await, None);

        let mut clear = gate.connect().await;
        clear.send(start).await;
        assert_eq!(clear.error().await.as_deref(), Some("28000"));
    });
}

#[test]
fn gssapi_encryption_and_absent_tls_are_declined_and_the_client_may_go_on() {
    test(async || {
        let gate = Gate::open(Setup {
            tls_mode: TlsMode::Disable,
            ..Setup::default()
        })
        .await;
        let mut client = gate.connect().await;
        client
            .send(|out| out.extend_from_slice(b"\0\0\0\x08\x04\xd2\x16\x30"))
            .await;
        assert_eq!(client.byte().await, Some(b'N'));
        client.send(put_ssl_request).await;
        assert_eq!(client.byte().await, Some(b'N'));
        client.send(start).await;
        assert_eq!(client.message().await.unwrap().0, b'R');
    });
}

#[test]
fn replication_odd_versions_and_odd_packets_are_refused() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client
            .send(|out| put_startup(out, 0, &[("user", "app"), ("replication", "database")]).unwrap())
            .await;
        assert_eq!(client.error().await.as_deref(), Some("0A000"));
        for (packet, code) in [
            (&b"\0\0\0\x09\0\x02\0\0\0"[..], "0A000"),
            (b"\0\0\0\x04\0\x03\0\0", "08P01"),
            (b"\x7f\0\0\0\0\x03\0\0", "54000"),
            (b"\0\0\0\x09\0\x03\0\0\0", "28000"),
        ] {
            let mut client = gate.connect().await;
            client.send(|out| out.extend_from_slice(packet)).await;
            assert_eq!(client.error().await.as_deref(), Some(code), "{packet:?}");
        }
    });
}

#[test]
fn newer_protocols_and_unknown_options_are_negotiated() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        let settings = [("user", "app"), ("database", "demo"), ("_pq_.odd", "1")];
        client.send(|out| put_startup(out, 9, &settings).unwrap()).await;
        let (tag, body) = client.message().await.unwrap();
        assert_eq!((tag, body), (b'v', b"\0\x03\0\x02\0\0\0\x01_pq_.odd\0".to_vec()));
        tokio::join!(client.sign_in(), gate.ring.accept());
        assert_eq!(client.key.unwrap().1.len(), 32);
    });
}

#[test]
fn before_sign_in_only_small_password_messages_are_taken() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        for (bytes, code) in [
            (&b"Q\0\0\0\x05\0"[..], "08P01"),
            (b"p\0\x10\0\0", "54000"),
            (b"p\0\0\0\x0dPLAIN\0\0\0\0", "08P01"),
        ] {
            let mut client = gate.connect().await;
            client.send(start).await;
            client.message().await.unwrap();
            client.send(|out| out.extend_from_slice(bytes)).await;
            assert_eq!(client.error().await.as_deref(), Some(code));
        }
    });
}

#[test]
fn a_client_that_drips_is_let_go() {
    test(async || {
        let limits = LimitsConfig {
            sign_in_timeout_ms: 200,
            ..LimitsConfig::default()
        };
        let gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let mut silent = gate.connect().await;
        let mut slow = gate.connect().await;
        slow.send(|out| out.extend_from_slice(b"\0\0\0")).await;
        let mut half = gate.connect().await;
        half.send(start).await;
        half.message().await.unwrap();
        assert_eq!(silent.byte().await, None);
        assert_eq!(slow.byte().await, None);
        assert_eq!(half.error().await.as_deref(), Some("57014"));
    });
}

#[test]
fn too_many_sessions_are_refused_and_places_come_back() {
    test(async || {
        let limits = LimitsConfig {
            sessions: 1,
            ..LimitsConfig::default()
        };
        let mut gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let first = gate.signed_in().await;
        let mut second = gate.connect().await;
        second.send(start).await;
        assert_eq!(second.error().await.as_deref(), Some("53300"));
        drop(first);
        assert!(matches!(gate.ring.next().await.body, RequestBody::Close { .. }));
        // The place is free when the first client's task is at its end.
        while !gate.frontend.admit() {
            tokio::task::yield_now().await;
        }
        gate.frontend.release();
        gate.signed_in().await;
    });
}

#[test]
fn only_the_right_key_cancels() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client
            .send(|out| put_query(out, "SELECT pg_sleep(9)").unwrap())
            .await;
        let request = gate.ring.next().await;
        let (id, key) = client.key.clone().unwrap();
        assert_eq!(key.len(), 4);
        let mut wrong = key.clone();
        wrong[0] ^= 1;
        for key in [wrong, key] {
            let mut canceller = gate.connect().await;
            canceller
                .send(|out| postern_wire::put_cancel(out, id, &key).unwrap())
                .await;
            assert_eq!(canceller.byte().await, None);
        }
        let cancel = gate.ring.next().await;
        assert!(matches!(cancel.body, RequestBody::Cancel { .. }));
        assert_eq!(cancel.exchange, request.exchange);
        gate.ring.complete(&request, 3);
        assert_eq!(client.answer().await, "CZ");
        assert!(gate.ring.requests.is_empty());
    });
}

#[test]
fn a_client_that_leaves_while_signing_in_leaves_no_session_behind() {
    test(async || {
        let limits = LimitsConfig {
            sign_in_timeout_ms: 300,
            ..LimitsConfig::default()
        };
        let mut gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let mut client = gate.connect().await;
        client.send(start).await;
        client.message().await.unwrap();
        client
            .send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        let request = gate.ring.next().await;
        assert_eq!(client.error().await.as_deref(), Some("57014"));
        let accepted = SignInAnswer::Accepted {
            message: Vec::new(),
            ticket: b"ticket".to_vec(),
        };
        gate.ring
            .sign_in_answer(&request, &accepted, Some(Opened::Ready(Vec::new())));
        assert!(matches!(gate.ring.next().await.body, RequestBody::Close { .. }));
        assert!(gate.frontend.seats().is_empty());
    });
}

#[test]
fn a_new_run_of_the_backend_ends_the_sessions_of_the_old_one() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut idle = gate.signed_in().await;
        let mut busy = gate.signed_in().await;
        busy.send(|out| put_query(out, "UPDATE t SET a = 1").unwrap())
            .await;
        let request = gate.ring.next().await;
        let beat = Answer::Heartbeat {
            backend: "backend-0".parse().unwrap(),
            instance: InstanceId([6; 16]),
        };
        gate.ring.answer(&request, 0, &beat, b"");
        assert_eq!(idle.error().await.as_deref(), Some("08006"));
        assert_eq!(busy.error().await.as_deref(), Some("08007"));
        assert_eq!(busy.message().await, None);
    });
}

#[test]
fn a_slow_reader_gets_all_and_is_granted_more_only_as_it_reads() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client.send(|out| put_query(out, "SELECT 1").unwrap()).await;
        let request = gate.ring.next().await;
        let mut granted = gate.frontend.limits.answer_window_bytes;
        let mut row = b"D\0\0\xff\xff".to_vec();
        row.resize(65_536, 0);
        let rows = 400u64;
        let state = |rows| {
            postern_inspect::digest(&AnswerState {
                rows,
                ..AnswerState::default()
            })
        };
        let ring = async {
            let mut sent = 0u64;
            for number in 0..rows {
                while sent + row.len() as u64 > granted {
                    let grant = gate.ring.next().await;
                    let RequestBody::Grant { bytes, .. } = grant.body else {
                        panic!("{grant:?}")
                    };
                    granted = bytes;
                }
                sent += row.len() as u64;
                let part = Answer::Part {
                    before: Some(state(number)),
                    after: state(number + 1),
                    parsed: 0,
                    copy_in: false,
                    last: number + 1 == rows,
                    hang_up: false,
                };
                gate.ring.answer(&request, 3 + number, &part, &row);
            }
        };
        let reader = async {
            for _ in 0..rows {
                assert_eq!(client.message().await.unwrap().0, b'D');
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(ring, reader);
    });
}
