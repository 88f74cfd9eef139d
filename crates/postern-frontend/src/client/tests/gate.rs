//! A Frontend with a listening socket, the ring behind it, and clients to connect.

use crate::client::*;
use crate::config::{LimitsConfig, TlsMode};
use crate::frontend::Parts;
use crate::inlet::{Openers, Sorter};
use crate::listener;
use crate::session::Outgoing;
use crate::tls::ALPN;
use bytes::Bytes;
use postern_envelope::{Batch, Generation, Header, Keyring, Sealer, SecretKey};
use postern_ledger::Ledger;
use postern_types::ring::{Answer, Opened, RequestBody, SignInAnswer};
use postern_types::{AnswerState, InstanceId, Link, Network, Stage, body};
use postern_wire::{
    TransactionStatus, backend_frame, put_command_complete, put_ready, put_sasl_initial, put_startup,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::LocalSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// The other three stages, as far as the Frontend can tell.
pub(super) struct Ring {
    pub(super) frontend: Rc<Frontend>,
    pub(super) sorter: Sorter,
    pub(super) answers: Sealer,
    pub(super) sign_in: Sealer,
    pub(super) requests: Vec<Outgoing>,
}

impl Ring {
    /// Waits for the next request.
    pub(super) async fn next(&mut self) -> Outgoing {
        while self.requests.is_empty() {
            self.frontend.queue.filled().await;
            self.frontend.queue.take(&mut self.requests);
        }
        self.requests.remove(0)
    }

    pub(super) fn answer(
        &mut self,
        request: &Outgoing,
        sequence: u64,
        answer: &Answer,
        payload: &[u8],
    ) -> Vec<u8> {
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

    pub(super) fn deliver(&mut self, message: Vec<u8>) {
        self.sorter.message(Bytes::from(message), Instant::now());
        self.sorter.hand_on().unwrap();
    }

    pub(super) fn sign_in_answer(
        &mut self,
        request: &Outgoing,
        answer: &SignInAnswer,
        opened: Option<Opened>,
    ) {
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
    pub(super) async fn accept(&mut self) {
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
    pub(super) fn complete(&mut self, request: &Outgoing, sequence: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        put_command_complete(&mut payload, "SELECT 1");
        put_ready(&mut payload, TransactionStatus::Idle);
        let start = postern_inspect::digest(&AnswerState::default());
        let part = Answer::Part {
            before: Some(start),
            after: start,
            parsed: 0,
            sent_bytes: payload.len() as u64,
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
    let own = Generation {
        epoch: 1,
        secret,
        peers,
    };
    Keyring::new(stage, InstanceId::random().unwrap(), own)
}

pub(super) struct Setup {
    pub(super) tls_mode: TlsMode,
    pub(super) limits: LimitsConfig,
    pub(super) networks: Vec<Network>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            tls_mode: TlsMode::Prefer,
            limits: LimitsConfig::default(),
            networks: Network::EVERYWHERE.to_vec(),
        }
    }
}

/// What a test gets: where to connect, the ring, and the Frontend.
pub(super) struct Gate {
    pub(super) address: std::net::SocketAddr,
    pub(super) ring: Ring,
    pub(super) frontend: Rc<Frontend>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) ledger: tempfile::TempDir,
}

impl Gate {
    pub(super) async fn open(setup: Setup) -> Gate {
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
        let door = setup.limits.door(setup.networks);
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
            ledger: Ledger::open(
                ledger.path(),
                Stage::Frontend,
                instance,
                postern_runtime::unix_ms(),
            )
            .unwrap(),
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
        tokio::task::spawn_local(listener::run(listener, door, Rc::clone(&frontend)));
        Gate {
            address,
            ring,
            frontend,
            certificate,
            ledger,
        }
    }

    pub(super) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client that is signed in, in clear.
    pub(super) async fn signed_in(&mut self) -> Client<TcpStream> {
        let mut client = self.connect().await;
        client.send(start).await;
        tokio::join!(client.sign_in(), self.ring.accept());
        client
    }

    pub(super) fn connector(&self, alpn: &[&[u8]]) -> TlsConnector {
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

pub(super) struct Client<S> {
    pub(super) stream: S,
    pub(super) input: BytesMut,
    pub(super) key: Option<(u32, Vec<u8>)>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Client {
            stream,
            input: BytesMut::new(),
            key: None,
        }
    }

    pub(super) async fn send(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        put(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next message; `None` at the end.
    pub(super) async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
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
    pub(super) async fn answer(&mut self) -> String {
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

    pub(super) async fn sign_in(&mut self) {
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
    pub(super) async fn error(&mut self) -> Option<String> {
        let (tag, body) = self.message().await?;
        assert_eq!(tag, b'E');
        let at = body.windows(2).position(|pair| pair == [0, b'C']).unwrap() + 2;
        Some(String::from_utf8(body[at..at + 5].to_vec()).unwrap())
    }

    pub(super) async fn byte(&mut self) -> Option<u8> {
        self.stream.read_u8().await.ok()
    }
}

pub(super) const SCRAM: &str = "SCRAM-SHA-256";

pub(super) fn start(out: &mut Vec<u8>) {
    put_startup(out, 0, &[("user", "app"), ("database", "demo")]).unwrap();
}

pub(super) fn put_password_raw(out: &mut Vec<u8>, data: &[u8]) {
    postern_wire::put_sasl_response(out, data).unwrap();
}

/// Runs a test on one thread, as the Frontend runs.
pub(super) fn test<F: Future<Output = ()>>(run: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, run()).await.unwrap()
    });
}
