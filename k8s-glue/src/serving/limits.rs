//! What one client may take of the servers: a share of the connections, and a time for each step.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at once; one above it is closed.
const CONNECTIONS: usize = 64;
/// Time for the handshake of TLS.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for the head of the first request.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Time for the head of a further request; scrapers come every 30 s, and keep their connection.
const HEAD: Duration = Duration::from_secs(60);
/// Octets of the head of a request.
const HEAD_SIZE: usize = 16 * 1024;
/// Age at which a connection ends; a client that reads slowly holds it no longer.
const AGE: Duration = Duration::from_secs(10 * 60);

/// Puts the limits of time and size on a server.
pub(crate) fn bound<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server.http1_only().first_request_timeout(FIRST_HEAD);
    server.http_builder().http1().header_read_timeout(HEAD).max_buf_size(HEAD_SIZE);
    server
}

/// Accepts a connection where there are not too many.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    free: Arc<Semaphore>,
}

impl Default for Limited {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl<I, S> Accept<I, S> for Limited {
    type Stream = Held<I>;
    type Service = S;
    type Future = Ready<io::Result<(Held<I>, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(io::Error::other);
        ready(permit.map(|permit| (Held { stream, age: Box::pin(sleep(AGE)), _permit: permit }, service)))
    }
}

/// A connection that counts until it is dropped, and ends at its age.
#[derive(Debug)]
pub(crate) struct Held<I> {
    stream: I,
    age: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl<I> Held<I> {
    /// Where it is not, the task is woken when it will be.
    fn is_old(&mut self, context: &mut Context<'_>) -> bool {
        self.age.as_mut().poll(context).is_ready()
    }
}

fn too_old() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the connection is too old")
}

impl<I: AsyncRead + Unpin> AsyncRead for Held<I> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_old(context) {
            return Poll::Ready(Err(too_old()));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Held<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_old(context) {
            return Poll::Ready(Err(too_old()));
        }
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_above_the_limit_is_closed_and_one_that_ends_makes_room() {
        let limited = Limited::default();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(limited.accept(tokio::io::empty(), ()).await.unwrap());
        }
        assert!(limited.accept(tokio::io::empty(), ()).await.is_err());
        held.pop();
        assert!(limited.accept(tokio::io::empty(), ()).await.is_ok());
    }
}
