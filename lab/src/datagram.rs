//! A server of one page for every datagram, and a client that asks it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::worker::Worker;

/// How often the server looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// More than any page here has.
const PAGE_OCTETS: usize = 2_048;

/// A server inside a host. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    _worker: Worker,
}

impl Server {
    /// Answers every datagram to `address` inside `host` with what `page` says to this client.
    ///
    /// # Errors
    /// [`Error::System`] where the address cannot be bound.
    pub fn answering(
        host: &Host,
        address: SocketAddr,
        page: impl Fn(SocketAddr) -> String + Send + 'static,
    ) -> Result<Self> {
        let doing = || format!("serving datagrams of {address} in host {}", host.name());
        let bound = host.inside(|| UdpSocket::bind(address).and_then(|socket| impatient(socket, LOOK_EVERY)))?;
        let socket = bound.map_err(|source| Error::system(doing(), source))?;
        Ok(Self { _worker: Worker::start(host, move |stop| serve_until(&socket, page, stop))? })
    }
}

fn impatient(socket: UdpSocket, within: Duration) -> io::Result<UdpSocket> {
    socket.set_read_timeout(Some(within))?;
    Ok(socket)
}

fn serve_until(socket: &UdpSocket, page: impl Fn(SocketAddr) -> String, stop: &AtomicBool) {
    let mut room = [0; PAGE_OCTETS];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, client)) = socket.recv_from(&mut room) {
            // A client that has gone is none of the server's business.
            drop(socket.send_to(page(client).as_bytes(), client));
        }
    }
}

/// Sends one datagram to `address` from inside a host, and gives what comes back from there.
///
/// # Errors
/// [`Error::System`] where nothing comes within that time.
pub fn ask_from(host: &Host, address: SocketAddr, within: Duration) -> Result<String> {
    let doing = || format!("asking {address} by a datagram from host {}", host.name());
    host.inside(|| ask(address, within))?.map_err(|source| Error::system(doing(), source))
}

fn ask(address: SocketAddr, within: Duration) -> io::Result<String> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = impatient(UdpSocket::bind((any, 0))?, within)?;
    socket.connect(address)?;
    socket.send(b"?")?;
    let mut room = [0; PAGE_OCTETS];
    let length = socket.recv(&mut room)?;
    Ok(String::from_utf8_lossy(room.get(..length).unwrap_or_default()).into_owned())
}
