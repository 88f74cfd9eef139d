//! Opens connections to PostgreSQL: TCP, TLS, start-up, SCRAM; and sends CancelRequests.

use crate::config::{ChannelBinding, DatabaseConfig, TlsMode};
use crate::pool::Place;
use crate::server::{CancelKey, Server, Stream};
use crate::statements::ServerStatements;
use crate::tls::{Tls, TlsError};
use bytes::{Buf, BytesMut};
use postern_bus::{Secret, SecretError, SecretSource};
use postern_scram::Mechanism;
use postern_scram::client::{Binding, Client};
use postern_types::InstanceId;
use postern_wire::{Authentication, BackendMessage, backend_frame, decode_backend};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest message of PostgreSQL during sign-in.
const SIGN_IN_MESSAGE_BYTES: u32 = 64 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The network, or PostgreSQL hung up.
    #[error("network: {0}")]
    Io(io::Error),
    /// TLS: a certificate is not believed, or a file is missing.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The password can't be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It took longer than `connect_timeout_ms`.
    #[error("timed out")]
    Timeout,
    /// TLS is required and PostgreSQL does not offer it.
    #[error("the database offers no TLS, and the configuration requires it")]
    NoTls,
    /// PostgreSQL answered with an error.
    #[error("the database refused the connection (SQLSTATE {state}){hint}", state = .0, hint = hint(.0))]
    Refused(String),
    /// PostgreSQL wants a sign-in that is not offered here.
    #[error("the database asks for {0}; only SCRAM-SHA-256 (or trust) is used")]
    Method(&'static str),
    /// It let us in without showing that it knows the password.
    #[error(
        "the database asked for no password, though one is configured and its certificate is not checked: it may be \
         another server. Mend pg_hba.conf, use tls = \"verify-full\", or take password_file away"
    )]
    Unproved,
    /// `channel_binding = "require"`, and it can't be had.
    #[error(
        "channel binding is required, and the database offers none (it needs TLS and SCRAM-SHA-256-PLUS)"
    )]
    NoBinding,
    /// SCRAM failed: a wrong password, or not the server it claims to be.
    #[error("SCRAM: {0}")]
    Scram(String),
    /// Something that the protocol does not allow.
    #[error("the database does not speak the protocol")]
    Protocol,
    /// A setting that Postern relies on can't be had.
    #[error("the database reports {0}, which Postern can't work with")]
    Setting(&'static str),
}

impl ConnectError {
    /// What a message means that is not one that sign-in goes on with.
    fn of(message: &BackendMessage<'_>) -> ConnectError {
        match message {
            BackendMessage::ErrorResponse(fields) => {
                ConnectError::Refused(fields.get(b'C').unwrap_or("?").to_owned())
            }
            _ => ConnectError::Protocol,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        TlsError::of(&error).map_or(ConnectError::Io(error), ConnectError::Tls)
    }
}

/// Makes connections to one database. Password and certificates are read for each.
pub(crate) struct Connector {
    host: String,
    port: u16,
    startup: Vec<(String, String)>,
    user: String,
    database: String,
    password: Option<SecretSource>,
    mode: TlsMode,
    channel_binding: ChannelBinding,
    tls: Tls,
    timeout: Duration,
    next_id: Cell<u64>,
}

impl Connector {
    /// A connector for this configuration.
    ///
    /// # Errors
    /// When the password or the files of TLS can't be read, or the settings do not go together.
    pub(crate) fn new(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let startup = [
            ("client_encoding", "UTF8".to_owned()),
            ("standard_conforming_strings", "on".to_owned()),
            ("statement_timeout", config.statement_timeout_ms.to_string()),
            (
                "idle_in_transaction_session_timeout",
                config.idle_in_transaction_timeout_ms.to_string(),
            ),
        ];
        let tls = Tls::new(config)?;
        // What is wrong from the beginning should be said at the beginning.
        tls.connector()?;
        config
            .password_file
            .as_ref()
            .map(SecretSource::read)
            .transpose()?;
        Ok(Connector {
            host: config.host.clone(),
            port: config.port,
            startup: startup
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            user: config.user.clone(),
            database: config.name.clone(),
            password: config.password_file.clone(),
            mode: config.tls,
            channel_binding: config.channel_binding,
            tls,
            timeout: Duration::from_millis(config.connect_timeout_ms),
            next_id: Cell::new(1),
        })
    }

    /// A new signed-in connection, which owns its place in the pool.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub(crate) async fn connect(&self, place: Place) -> Result<Server, ConnectError> {
        tokio::time::timeout(self.timeout, self.sign_in(place))
            .await
            .map_err(|_| ConnectError::Timeout)?
    }

    async fn open(&self) -> Result<(Box<dyn Stream>, Option<Vec<u8>>), ConnectError> {
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let Some(connector) = self.tls.connector()? else {
            return Ok((Box::new(tcp), None));
        };
        let mut request = Vec::new();
        postern_wire::put_ssl_request(&mut request);
        tcp.write_all(&request).await?;
        match tcp.read_u8().await? {
            b'S' => {}
            b'N' if self.mode == TlsMode::Prefer => return Ok((Box::new(tcp), None)),
            b'N' => return Err(ConnectError::NoTls),
            _ => return Err(ConnectError::Protocol),
        }
        let name = rustls::pki_types::ServerName::try_from(self.host.clone())
            .map_err(|_| ConnectError::Setting("a host that is no name or address"))?;
        let stream = match connector.connect(name, tcp).await {
            Ok(stream) => stream,
            Err(error) => return Err(self.tls.explain(error)?.into()),
        };
        let end_point = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| postern_scram::end_point::digest(certificate));
        Ok((Box::new(stream), end_point))
    }

    /// Whether to go on with a server that asks for no password. One that can't know the password may do so to be sent
    /// statements all the same.
    fn let_in_unasked(&self) -> Result<(), ConnectError> {
        if self.channel_binding == ChannelBinding::Require {
            return Err(ConnectError::NoBinding);
        }
        if self.password.is_some() && self.mode != TlsMode::VerifyFull {
            return Err(ConnectError::Unproved);
        }
        Ok(())
    }

    async fn sign_in(&self, place: Place) -> Result<Server, ConnectError> {
        let (stream, end_point) = self.open().await?;
        let mut link = SignIn {
            stream,
            read: BytesMut::with_capacity(8 * 1024),
        };
        let mut startup = Vec::new();
        let named = [("user", self.user.as_str()), ("database", self.database.as_str())];
        let settings = self
            .startup
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = named.into_iter().chain(settings).collect();
        postern_wire::put_startup(&mut startup, 0, &all).map_err(|_| ConnectError::Protocol)?;
        link.stream.write_all(&startup).await?;

        match link.authentication().await? {
            Some(offered) => link.scram(self, end_point.as_deref(), &offered).await?,
            None => self.let_in_unasked()?,
        }
        let mut parameters = BTreeMap::new();
        let mut cancel_key = CancelKey::default();
        loop {
            let done = link
                .next(|message| match message {
                    BackendMessage::ParameterStatus { name, value } => {
                        parameters.insert(name.to_owned(), value.to_owned());
                        Ok(false)
                    }
                    BackendMessage::BackendKeyData { process_id, key } => {
                        cancel_key = CancelKey {
                            process_id,
                            key: key.to_vec(),
                        };
                        Ok(false)
                    }
                    BackendMessage::ReadyForQuery(_) => Ok(true),
                    BackendMessage::NoticeResponse(_) => Ok(false),
                    other => Err(ConnectError::of(&other)),
                })
                .await?;
            if done {
                break;
            }
        }
        check(&parameters)?;
        let id = self.next_id.get();
        self.next_id.set(id.saturating_add(1));
        let tag = InstanceId::random().map_err(|_| ConnectError::Protocol)?;
        let tag: String = tag.to_string().chars().take(16).collect();
        Ok(Server::new(
            link.stream,
            place,
            link.read,
            id,
            cancel_key,
            parameters,
            ServerStatements::new(tag),
        ))
    }

    /// Sends a CancelRequest and waits until PostgreSQL has taken it: the connection must not go to
    /// another session before that.
    pub(crate) async fn cancel(&self, key: &CancelKey) {
        let cancel = async {
            let (mut stream, _) = self.open().await?;
            let mut request = Vec::new();
            postern_wire::put_cancel(&mut request, key.process_id, &key.key)
                .map_err(|_| ConnectError::Protocol)?;
            stream.write_all(&request).await?;
            stream.flush().await?;
            let mut nothing = [0; 1];
            let _ = stream.read(&mut nothing).await;
            Ok::<(), ConnectError>(())
        };
        match tokio::time::timeout(self.timeout, cancel).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a cancel request did not reach the database"),
            Err(_) => tracing::warn!("a cancel request timed out"),
        }
    }
}

fn check(parameters: &BTreeMap<String, String>) -> Result<(), ConnectError> {
    let is = |name: &str, value: &str| parameters.get(name).is_some_and(|v| v == value);
    if !is("standard_conforming_strings", "on") {
        return Err(ConnectError::Setting("standard_conforming_strings other than on"));
    }
    if !is("client_encoding", "UTF8") {
        return Err(ConnectError::Setting("a client_encoding other than UTF8"));
    }
    Ok(())
}

/// A connection that is not signed in yet.
struct SignIn {
    stream: Box<dyn Stream>,
    read: BytesMut,
}

impl SignIn {
    /// Reads one message and gives it to `take`.
    async fn next<T>(
        &mut self,
        take: impl FnOnce(BackendMessage<'_>) -> Result<T, ConnectError>,
    ) -> Result<T, ConnectError> {
        loop {
            let frame =
                backend_frame(&self.read, SIGN_IN_MESSAGE_BYTES).map_err(|_| ConnectError::Protocol)?;
            if let Some(frame) = frame {
                let length = frame.raw.len();
                let message = decode_backend(&frame).map_err(|_| ConnectError::Protocol)?;
                let taken = take(message)?;
                self.read.advance(length);
                return Ok(taken);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// What PostgreSQL asks for: one of these SASL mechanisms, or nothing.
    async fn authentication(&mut self) -> Result<Option<Vec<String>>, ConnectError> {
        self.next(|message| match message {
            BackendMessage::Authentication(Authentication::Ok) => Ok(None),
            BackendMessage::Authentication(Authentication::Sasl(mechanisms)) => {
                Ok(Some(mechanisms.iter().map(str::to_owned).collect()))
            }
            BackendMessage::Authentication(other) => Err(ConnectError::Method(method_name(&other))),
            other => Err(ConnectError::of(&other)),
        })
        .await
    }

    async fn scram(
        &mut self,
        connector: &Connector,
        end_point: Option<&[u8]>,
        offered: &[String],
    ) -> Result<(), ConnectError> {
        let password = connector.password.as_ref();
        let password = password.ok_or(ConnectError::Method("a password, and none is configured"))?;
        let password: Secret = password.read()?;
        let failed = |error: postern_scram::ScramError| ConnectError::Scram(error.to_string());
        let offers = |mechanism: Mechanism| offered.iter().any(|name| name == mechanism.as_str());
        let binding = match end_point {
            Some(digest) if offers(Mechanism::Plus) => Binding::EndPoint(digest),
            Some(_) => Binding::NotOffered,
            None => Binding::None,
        };
        let is_bound = matches!(binding, Binding::EndPoint(_));
        if connector.channel_binding == ChannelBinding::Require && !is_bound {
            return Err(ConnectError::NoBinding);
        }
        if !offers(Mechanism::Plain) && !offers(Mechanism::Plus) {
            return Err(ConnectError::Method("an unknown SASL mechanism"));
        }
        let nonce = InstanceId::random()
            .map_err(|_| ConnectError::Protocol)?
            .to_string();
        let client = Client::new(binding, &nonce).map_err(failed)?;
        let mut out = Vec::new();
        postern_wire::put_sasl_initial(&mut out, client.mechanism().as_str(), &client.first_message())
            .map_err(|_| ConnectError::Protocol)?;
        self.stream.write_all(&out).await?;

        let challenge = self
            .sasl(|a| {
                if let Authentication::SaslContinue(m) = a {
                    Some(m)
                } else {
                    None
                }
            })
            .await?;
        let (response, last) = client.respond(&challenge, password.expose()).map_err(failed)?;
        out.clear();
        postern_wire::put_sasl_response(&mut out, &response).map_err(|_| ConnectError::Protocol)?;
        self.stream.write_all(&out).await?;

        let proof = self
            .sasl(|a| {
                if let Authentication::SaslFinal(m) = a {
                    Some(m)
                } else {
                    None
                }
            })
            .await?;
        last.verify(&proof).map_err(failed)?;
        self.next(|message| match message {
            BackendMessage::Authentication(Authentication::Ok) => Ok(()),
            other => Err(ConnectError::of(&other)),
        })
        .await
    }

    /// The next message of the SASL exchange, of the kind that `pick` takes.
    async fn sasl(
        &mut self,
        pick: impl FnOnce(Authentication<'_>) -> Option<&[u8]>,
    ) -> Result<Vec<u8>, ConnectError> {
        self.next(|message| match message {
            BackendMessage::Authentication(authentication) => pick(authentication)
                .map(<[u8]>::to_vec)
                .ok_or(ConnectError::Protocol),
            other => Err(ConnectError::of(&other)),
        })
        .await
    }
}

/// What to look at when the database refuses with this SQLSTATE.
fn hint(state: &str) -> &'static str {
    match state {
        "28P01" => ": look at user and password_file, and at certificate_file if pg_hba.conf has clientcert",
        "28000" => ": look at user, and at pg_hba.conf for this machine, role, database and TLS",
        "3D000" => ": there is no database of this name",
        "53300" => ": it has no connection left; look at max_connections and at pool_size",
        "57P03" => ": it is starting or stopping",
        _ => "",
    }
}

fn method_name(method: &Authentication<'_>) -> &'static str {
    match method {
        Authentication::CleartextPassword => "a password in clear",
        Authentication::Md5Password { .. } => "an MD5 password",
        _ => "an unknown method",
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
