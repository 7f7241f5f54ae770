//! What one client may take of the servers: connections as long as nobody else needs them, and a time for each step.
//!
//! Where there are too many connections, the oldest of the source that has the most ends, and the new one is taken: whoever holds
//! connections for nothing cannot keep a prober out.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// Connections at once.
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

/// Who connects.
pub(crate) trait Sourced {
    /// The address that counts as one client: of IPv6 the /64, which a host can fill by itself.
    fn source(&self) -> Option<IpAddr>;
}

impl Sourced for TcpStream {
    fn source(&self) -> Option<IpAddr> {
        let address = self.peer_addr().ok()?.ip().to_canonical();
        Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        })
    }
}

/// A connection that is open.
#[derive(Debug)]
struct Live {
    source: Option<IpAddr>,
    /// Dropped to end it.
    _end: oneshot::Sender<()>,
}

/// The connections that are open, by age.
#[derive(Debug, Default)]
struct Table {
    next: u64,
    live: BTreeMap<u64, Live>,
}

impl Table {
    /// Ends the oldest connection of the source that has the most.
    fn make_room(&mut self) {
        let mut counts: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        for live in self.live.values() {
            *counts.entry(live.source).or_default() += 1;
        }
        let most = counts.values().copied().max();
        let is_of_most = |live: &Live| counts.get(&live.source).copied() == most;
        if let Some(oldest) = self.live.iter().find(|(_, live)| is_of_most(live)).map(|(number, _)| *number) {
            self.live.remove(&oldest);
        }
    }
}

/// Accepts connections, and ends others where there are too many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limited {
    table: Arc<Mutex<Table>>,
}

impl Limited {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold<I: Sourced>(&self, stream: I) -> Held<I> {
        let (end, ended) = oneshot::channel();
        let mut table = self.table();
        while table.live.len() >= CONNECTIONS {
            table.make_room();
        }
        let number = table.next;
        table.next += 1;
        table.live.insert(number, Live { source: stream.source(), _end: end });
        drop(table);
        Held { stream, age: Box::pin(sleep(AGE)), ended, number, limited: self.clone() }
    }
}

impl<I: Sourced, S> Accept<I, S> for Limited {
    type Stream = Held<I>;
    type Service = S;
    type Future = Ready<io::Result<(Held<I>, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        ready(Ok((self.hold(stream), service)))
    }
}

/// A connection that counts until it is dropped, and ends at its age, or where another needs its place.
#[derive(Debug)]
pub(crate) struct Held<I> {
    stream: I,
    age: Pin<Box<Sleep>>,
    ended: oneshot::Receiver<()>,
    number: u64,
    limited: Limited,
}

impl<I> Drop for Held<I> {
    fn drop(&mut self) {
        self.limited.table().live.remove(&self.number);
    }
}

impl<I> Held<I> {
    /// Why it must end, if it must; else the task is woken when it must.
    fn end(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        if self.age.as_mut().poll(context).is_ready() {
            return Some(io::Error::new(io::ErrorKind::TimedOut, "the connection is too old"));
        }
        let has_ended = Pin::new(&mut self.ended).poll(context).is_ready();
        has_ended.then(|| io::Error::new(io::ErrorKind::TimedOut, "another connection took its place"))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Held<I> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(end) = self.end(context) {
            return Poll::Ready(Err(end));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Held<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(end) = self.end(context) {
            return Poll::Ready(Err(end));
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
    use tokio::io::AsyncReadExt;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// A client at an address.
    struct Client(DuplexStream, IpAddr);

    impl Sourced for Client {
        fn source(&self) -> Option<IpAddr> {
            Some(self.1)
        }
    }

    impl AsyncRead for Client {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, into)
        }
    }

    async fn has_ended(held: &mut Held<Client>) -> bool {
        // The other end is open and says nothing: only an end of ours can be read.
        tokio::time::timeout(Duration::from_millis(10), held.read_u8()).await.is_ok()
    }

    #[tokio::test]
    async fn who_holds_the_most_loses_the_oldest_and_a_newcomer_is_served() {
        let limited = Limited::default();
        let mut others = Vec::new();
        let mut connect = |address: &str| {
            let (ours, theirs) = duplex(64);
            others.push(theirs);
            limited.hold(Client(ours, address.parse().unwrap()))
        };
        let mut prober = connect("192.0.2.1");
        let mut hog: Vec<_> = (1..CONNECTIONS).map(|_| connect("192.0.2.2")).collect();
        assert!(!has_ended(&mut hog[0]).await);
        let mut newcomer = connect("192.0.2.3");
        assert!(has_ended(&mut hog[0]).await);
        assert!(!has_ended(&mut hog[1]).await && !has_ended(&mut prober).await && !has_ended(&mut newcomer).await);
        let mut again = connect("192.0.2.2");
        assert!(has_ended(&mut hog[1]).await && !has_ended(&mut again).await && !has_ended(&mut prober).await);
    }

    #[tokio::test]
    async fn a_connection_that_is_over_counts_no_more() {
        let limited = Limited::default();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..2 * CONNECTIONS {
            drop(limited.hold(Client(duplex(64).0, address)));
        }
        assert!(limited.table().live.is_empty());
    }
}
