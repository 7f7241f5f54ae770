//! The connection of one peer: dialled, written to without blocking, and closed so that what was sent last arrives.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::addresses::{local_end, local_end_now};
use super::socket::DialPlan;
use crate::session::{Ends, LocalEnd};

/// How long the last octets of a connection may take to go out, and then its end to be seen.
const LINGER: Duration = Duration::from_secs(1);
/// Octets read at once.
const READ_OCTETS: usize = 65_536;

type Dialling = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum Stage {
    None,
    Dialling(Dialling),
    Open(TcpStream),
}

/// What happened to a connection.
pub(super) enum Happened {
    Connected(LocalEnd),
    Lost(Arc<str>),
    /// It may be read or written.
    Ready,
}

/// The connection of one peer, if there is one.
pub(super) struct Connection {
    stage: Stage,
    /// What is to be sent; `written` octets of it are.
    out: Vec<u8>,
    written: usize,
    room: Vec<u8>,
    /// Connections that are being closed.
    closing: Vec<JoinHandle<()>>,
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection").field("out", &self.out.len()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) const fn new() -> Self {
        Self { stage: Stage::None, out: Vec::new(), written: 0, room: Vec::new(), closing: Vec::new() }
    }

    /// Begins to dial; what was before is given up.
    pub(super) fn dial(&mut self, plan: &DialPlan) {
        let remote = plan.remote;
        let socket = plan.socket();
        self.out.clear();
        self.written = 0;
        self.stage = Stage::Dialling(Box::pin(async move { socket?.connect(remote).await }));
    }

    /// Takes octets to send.
    pub(super) fn queue(&mut self, octets: Vec<u8>) {
        if self.out.is_empty() {
            self.out = octets;
        } else {
            self.out.extend_from_slice(&octets);
        }
    }

    /// Hands as much as the network takes to it. Says whether everything is handed over now and something was.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        let Stage::Open(stream) = &self.stage else { return Ok(false) };
        if self.out.is_empty() {
            return Ok(false);
        }
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match stream.try_write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    /// Waits until something can be done; for ever where there is no connection.
    pub(super) async fn happens(&mut self) -> Happened {
        match &mut self.stage {
            Stage::None => core::future::pending().await,
            Stage::Dialling(dialling) => match dialling.await {
                Ok(stream) => self.connected(stream),
                Err(error) => {
                    self.stage = Stage::None;
                    Happened::Lost(format!("connecting failed: {error}").into())
                }
            },
            Stage::Open(stream) => {
                let interest =
                    if self.out.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
                match stream.ready(interest).await {
                    Ok(_) => Happened::Ready,
                    Err(error) => Happened::Lost(format!("connection failed: {error}").into()),
                }
            }
        }
    }

    fn connected(&mut self, stream: TcpStream) -> Happened {
        match ends_of(&stream) {
            Ok(ends) => {
                self.stage = Stage::Open(stream);
                let end = local_end(ends).unwrap_or_else(|error| {
                    warn!(%error, "addresses of links could not be read: routes of the other family have no next hop");
                    LocalEnd::of(ends.local)
                });
                Happened::Connected(end)
            }
            Err(error) => {
                self.stage = Stage::None;
                Happened::Lost(format!("connection failed: {error}").into())
            }
        }
    }

    /// Our end of the connection as it is now; `None` where there is none or nothing can be told.
    pub(super) fn local_end(&self) -> Option<LocalEnd> {
        let Stage::Open(stream) = &self.stage else { return None };
        local_end_now(ends_of(stream).ok()?).ok()?
    }

    /// What has come, once; `None` where nothing has.
    pub(super) fn read(&mut self) -> Option<Result<&[u8], Arc<str>>> {
        let Stage::Open(stream) = &self.stage else { return None };
        if self.room.is_empty() {
            self.room = vec![0; READ_OCTETS];
        }
        match stream.try_read(&mut self.room) {
            Ok(0) => Some(Err("the peer closed the connection".into())),
            Ok(count) => self.room.get(..count).map(Ok),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(format!("connection failed: {error}").into())),
        }
    }

    /// Closes it: what was to be sent goes out first, then the peer has a moment to read it before the socket goes.
    pub(super) fn close(&mut self) {
        self.closing.retain(|closing| !closing.is_finished());
        let stage = core::mem::replace(&mut self.stage, Stage::None);
        let out = core::mem::take(&mut self.out);
        let written = core::mem::take(&mut self.written);
        if let Stage::Open(stream) = stage {
            self.closing.push(tokio::spawn(finish(stream, out, written)));
        }
    }

    /// Returns when every connection of the past is closed.
    pub(super) async fn closed(&mut self) {
        for closing in self.closing.drain(..) {
            // A task that was cancelled has closed its connection too.
            let _ = closing.await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for closing in &self.closing {
            closing.abort();
        }
    }
}

fn ends_of(stream: &TcpStream) -> io::Result<Ends> {
    let (local, remote) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
    Ok(Ends { local: local.to_canonical(), remote: remote.to_canonical() })
}

async fn finish(mut stream: TcpStream, out: Vec<u8>, written: usize) {
    let goodbye = async {
        stream.write_all(out.get(written..).unwrap_or_default()).await?;
        stream.shutdown().await?;
        // Closing with unread octets would reset the connection, and what was sent last with it.
        let mut room = [0; 4_096];
        while stream.read(&mut room).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // Whatever fails here, the connection is gone after it.
    let _ = timeout(LINGER, goodbye).await;
}
