//! A host that asks for addresses by ARP and neighbor discovery again and again and keeps no neighbour entries: what a judge needs to see owners often.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::arp::Packet;
use crate::error::{Error, Result};
use crate::host::{Hardware, Host};
use crate::ndp::Message;
use crate::sys;

/// A running prober. It stops when it is dropped.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Asks for each address `rate` times a second from `host`, as `sender`, by broadcast or the address's group on its link, evenly
    /// spread.
    ///
    /// # Errors
    /// [`Error::Input`] for no addresses, addresses of another family than the sender's, or a rate outside 1 to 1,000;
    /// [`Error::System`] where no packet socket can be opened.
    pub fn start<A>(host: &Host, link: &str, sender: A, addresses: &[A], rate: u32) -> Result<Self>
    where
        A: Into<IpAddr> + Copy,
    {
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let impossible =
            |mend: &str| Error::Input { what: "prober", value: format!("{rate} per second"), mend: mend.into() };
        if count == 0 || rate == 0 || rate > 1_000 {
            return Err(impossible("give one address or more, and a rate of 1 to 1,000 per second"));
        }
        let spacing = Duration::from_secs(1) / rate / count;
        let (from, index) = (host.hardware(link)?, host.link_index(link)?);
        let doing = || format!("probing from host {}", host.name());
        // Nothing is received here: a socket that hears nothing (a protocol that nobody uses) fills no queue.
        let opened = host.inside(|| sys::packet_socket(UNUSED_PROTOCOL, index))?;
        let socket = opened.map_err(|source| Error::system(doing(), source))?;
        let questions = addresses.iter().map(|address| question(from, sender.into(), (*address).into()));
        let frames =
            questions.collect::<Option<Vec<_>>>().ok_or_else(|| impossible("ask for addresses of one family"))?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let body = move || {
            let mut due = Instant::now();
            for frame in frames.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // A link that is down loses questions, as it should.
                if socket.send(frame).is_ok_and(|length| length == frame.len()) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                // After a stall the pace is kept, not the count: no flood to make up for it.
                due = (due + spacing).max(Instant::now());
            }
        };
        let builder = thread::Builder::new().name("prober".into());
        let thread = builder.spawn(body).map_err(|source| Error::system(doing(), source))?;
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// Questions sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// The frame that asks for an address; `None` where the sender is of another family.
fn question(from: Hardware, sender: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (sender, target) {
        (IpAddr::V4(sender), IpAddr::V4(target)) => Some(Packet::request(from, sender, target).write().to_vec()),
        (IpAddr::V6(sender), IpAddr::V6(target)) => Some(Message::solicitation(from, sender, target).write()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// EtherType for local experiments (IEEE 802): nothing here uses it.
const UNUSED_PROTOCOL: u16 = 0x88b5;

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Sends frames as they are from a host's link, one after the other: what a replaying or forging station does.
///
/// # Errors
/// [`Error::System`] where the link refuses one.
pub fn inject(host: &Host, link: &str, frames: &[Vec<u8>]) -> Result<()> {
    let doing = || format!("sending frames from host {}", host.name());
    let index = host.link_index(link)?;
    let socket = host.inside(|| sys::packet_socket(UNUSED_PROTOCOL, index))?;
    let socket = socket.map_err(|source| Error::system(doing(), source))?;
    frames.iter().try_for_each(|frame| socket.send(frame).map(drop)).map_err(|source| Error::system(doing(), source))
}
