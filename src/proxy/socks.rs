//! SOCKS5 on the proxy's port (RFC 1928, passwords by RFC 1929): another way to say CONNECT.
//!
//! What the client asks for is decided as for CONNECT. Names should come as names (`socks5h`): a session is bound to a
//! host's name, and an address is another host.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    error::{Error, Kind},
    identity::Clients,
};
use crate::upstream::io::Io;

/// The first byte of a SOCKS5 client, and of each message that names the version.
pub(super) const VERSION: u8 = 5;
/// The first byte of the messages of RFC 1929.
const PASSWORD_VERSION: u8 = 1;

const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

const CONNECT: u8 = 1;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

const GRANTED: u8 = 0;
const FAILED: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const NO_SUCH_COMMAND: u8 = 7;
const NO_SUCH_ADDRESS: u8 = 8;

/// Tells the client that its bytes go on to the target from here.
pub(super) const ESTABLISHED: [u8; 10] = reply(GRANTED);

/// A SOCKS5 client's connection while it says what it wants.
pub(super) struct Negotiation<'a, S> {
    pub(super) io: &'a mut S,
    /// What was read and not looked at; in the end what follows the request.
    pub(super) buffer: &'a mut BytesMut,
}

// === impl Negotiation ===

impl<S: Io> Negotiation<'_, S> {
    /// Agrees on a way to authenticate, and returns whose connection it is. `known` is what is known without a password.
    pub(super) async fn client(
        &mut self,
        known: Option<Option<Arc<str>>>,
        clients: &Clients,
    ) -> Result<Option<Arc<str>>, Error> {
        let [_, count] = self.take().await?;
        let offered = self.take_bytes(usize::from(count)).await?;
        // Who is known already is asked for nothing, unless it can do nothing else.
        let wanted = match known {
            Some(_) if offered.contains(&NO_PASSWORD) => NO_PASSWORD,
            _ => PASSWORD,
        };
        if !offered.contains(&wanted) {
            self.send(&[VERSION, NO_METHOD]).await?;
            return Err(Kind::ClientUnknown.into());
        }
        self.send(&[VERSION, wanted]).await?;
        if wanted == NO_PASSWORD {
            return Ok(known.flatten());
        }
        let [version, length] = self.take().await?;
        if version != PASSWORD_VERSION {
            return Err(Kind::BadRequest("the SOCKS5 password is not in RFC 1929's form").into());
        }
        let name = self.take_bytes(usize::from(length)).await?;
        let [length] = self.take().await?;
        let password = self.take_bytes(usize::from(length)).await?;
        let client = match known {
            Some(known) => Ok(known),
            None => clients.verify(&name, &password).map(Some),
        };
        self.send(&[PASSWORD_VERSION, u8::from(client.is_err())])
            .await?;
        client
    }

    /// Returns the target that the client asks for, as `host:port`.
    pub(super) async fn target(&mut self) -> Result<String, Error> {
        let [version, command, _, kind] = self.take().await?;
        if version != VERSION {
            return Err(Kind::BadRequest("the request is not SOCKS5").into());
        }
        let host = match kind {
            IPV4 => IpAddr::from(Ipv4Addr::from(self.take::<4>().await?)).to_string(),
            IPV6 => format!("[{}]", Ipv6Addr::from(self.take::<16>().await?)),
            NAME => {
                let [length] = self.take().await?;
                let name = self.take_bytes(usize::from(length)).await?;
                String::from_utf8_lossy(&name).into_owned()
            }
            _ => {
                self.send(&reply(NO_SUCH_ADDRESS)).await?;
                return Err(Kind::BadRequest("there is no such SOCKS5 address type").into());
            }
        };
        let port = u16::from_be_bytes(self.take().await?);
        if command != CONNECT {
            self.send(&reply(NO_SUCH_COMMAND)).await?;
            return Err(Kind::BadRequest("only CONNECT is possible with SOCKS5").into());
        }
        Ok(format!("{host}:{port}"))
    }

    async fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(N).await?;
        self.buffer.copy_to_slice(&mut bytes);
        Ok(bytes)
    }

    async fn take_bytes(&mut self, length: usize) -> Result<BytesMut, Error> {
        self.fill(length).await?;
        Ok(self.buffer.split_to(length))
    }

    async fn fill(&mut self, length: usize) -> Result<(), Error> {
        while self.buffer.len() < length {
            if self.io.read_buf(self.buffer).await.map_err(gone)? == 0 {
                return Err(gone(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.io.write_all(bytes).await.map_err(gone)
    }
}

/// Makes the answer to a request that is not granted.
pub(super) fn refusal(error: &Error) -> [u8; 10] {
    reply(match error.kind() {
        Kind::Denied
        | Kind::Ourselves
        | Kind::Prohibited
        | Kind::OtherUser
        | Kind::ClientUnknown => NOT_ALLOWED,
        Kind::Dns | Kind::DnsTimeout | Kind::ConnectTimeout | Kind::Connect => UNREACHABLE,
        Kind::ConnectRefused => REFUSED,
        _ => FAILED,
    })
}

/// The address that the proxy uses is nobody's business: it is given as 0.0.0.0:0.
const fn reply(code: u8) -> [u8; 10] {
    [VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]
}

fn gone(error: io::Error) -> Error {
    Error::from(Kind::RequestBody).because(error)
}
