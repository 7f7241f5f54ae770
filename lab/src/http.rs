//! Just enough HTTP/1.1 (RFC 9112) to serve one page and to fetch it: what a client of a Service does, without a dependency.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::worker::Worker;

/// Longest request that is read before it is answered, and longest answer that a client takes.
const MESSAGE_OCTETS: u64 = 64 * 1024;

/// How long a connection may take to ask its question.
const REQUEST_WITHIN: Duration = Duration::from_secs(2);

/// How often the server looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A server of one page inside a host. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    _worker: Worker,
}

impl Server {
    /// Answers every request on `address` ("0.0.0.0:80") inside `host` with `page`.
    ///
    /// # Errors
    /// [`Error::System`] where the address cannot be bound.
    pub fn start(host: &Host, address: SocketAddr, page: &str) -> Result<Self> {
        let page = page.to_owned();
        Self::answering(host, address, move |_| page.clone())
    }

    /// Answers every request on `address` inside `host` with what `page` says to this client.
    ///
    /// # Errors
    /// [`Error::System`] where the address cannot be bound.
    pub fn answering(
        host: &Host,
        address: SocketAddr,
        page: impl Fn(SocketAddr) -> String + Send + 'static,
    ) -> Result<Self> {
        let doing = || format!("serving {address} in host {}", host.name());
        let bound = host.inside(|| TcpListener::bind(address))?;
        let listener = bound.map_err(|source| Error::system(doing(), source))?;
        Ok(Self { _worker: Worker::start(host, move |stop| serve_each_until(&listener, page, stop))? })
    }
}

/// Answers every request on a listener with `page` until the process ends or `stop` is set.
pub fn serve_until(listener: &TcpListener, page: &str, stop: &AtomicBool) {
    serve_each_until(listener, |_| page.to_owned(), stop);
}

fn serve_each_until(listener: &TcpListener, page: impl Fn(SocketAddr) -> String, stop: &AtomicBool) {
    // Accepting honours the receive timeout, so that a server without clients can be stopped.
    if SockRef::from(listener).set_read_timeout(Some(LOOK_EVERY)).is_err() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        if let Ok((connection, client)) = listener.accept() {
            let page = page(client);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            // A client that asks slowly must not hold up the others.
            drop(thread::Builder::new().spawn(move || answer_one(connection, answer.as_bytes())));
        }
    }
}

fn answer_one(mut connection: TcpStream, answer: &[u8]) -> io::Result<()> {
    connection.set_read_timeout(Some(REQUEST_WITHIN))?;
    let mut request = Vec::new();
    let mut room = [0; 1_024];
    while !request.windows(4).any(|part| part == b"\r\n\r\n") {
        let length = connection.read(&mut room)?;
        request.extend_from_slice(room.get(..length).unwrap_or_default());
        if length == 0 || u64::try_from(request.len()).unwrap_or(u64::MAX) > MESSAGE_OCTETS {
            return Ok(());
        }
    }
    connection.write_all(answer)
}

/// Fetches the page of `address` from the calling thread's host; connecting and every read may each take `within`.
///
/// # Errors
/// What the connection ended with; `InvalidData` for an answer that is not "200" with a body.
pub fn get(address: SocketAddr, within: Duration) -> io::Result<String> {
    get_path(address, "/", within)
}

/// [`get`] with a path of one's own ("/healthz").
///
/// # Errors
/// As there.
pub fn get_path(address: SocketAddr, path: &str, within: Duration) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, within)?;
    connection.set_read_timeout(Some(within))?;
    connection.set_write_timeout(Some(within))?;
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    connection.take(MESSAGE_OCTETS).read_to_string(&mut answer)?;
    page_of(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no page in the answer"))
}

/// The body of a successful answer.
pub fn page_of(answer: &str) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// [`get`] from inside a host.
///
/// # Errors
/// [`Error::System`] with what the connection ended with.
pub fn get_from(host: &Host, address: SocketAddr, within: Duration) -> Result<String> {
    let doing = || format!("fetching http://{address}/ from host {}", host.name());
    host.inside(|| get(address, within))?.map_err(|source| Error::system(doing(), source))
}
