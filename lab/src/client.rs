//! A client: begins an HTTP request each 10 ms, whatever became of the ones before, and keeps what came of each.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::Moment;
use crate::error::Result;
use crate::host::Host;
use crate::http;
use crate::outage::{Attempt, Ending, PERIOD, Report, report};

/// The link by which a client asks.
const LINK: &str = "eth0";

/// An attempt is given up after this. Below the second after which the kernel would send a lost SYN again: an attempt that succeeds
/// then says nothing about the moment it was begun.
const GIVE_UP: Duration = Duration::from_millis(900);

/// While requests wait for an answer about the neighbour, the question is asked anew this often. Sooner would lose them: with what a
/// kernel knows of a neighbour goes every packet that waits for it.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What a client does with what its kernel knows of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Forgets the address on `eth0` before each request, so that each has to ask by ARP or neighbour discovery; not while an earlier
    /// one waits, but for one time in 250 ms.
    Cleared,
    /// Keeps it, so that only an announcement of the new owner changes it.
    Kept,
}

/// A running client. It stops when it is dropped.
#[derive(Debug)]
pub struct Client {
    name: String,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<io::Result<()>>>>,
}

impl Client {
    /// Starts to fetch `http://target/` from `host`.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub fn start(name: &str, host: &Host, target: SocketAddr, memory: Memory) -> Result<Self> {
        let (attempts, stop) = (Arc::<Mutex<Vec<Attempt>>>::default(), Arc::new(AtomicBool::new(false)));
        let (log, stopped, owner) = (Arc::clone(&attempts), Arc::clone(&stop), host.clone());
        // The runtime lives on a thread inside the host, so that every socket it opens is the host's.
        let thread = host.thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask_on(&owner, target, memory, &log, &stopped));
            runtime.shutdown_background();
            Ok(())
        })?;
        Ok(Self { name: name.to_owned(), attempts, stop, thread: Some(thread) })
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All finished attempts, in the order in which they finished.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it saw between two moments: [`report`].
    pub fn report(&self, from: Moment, to: Moment) -> Report {
        report(&self.attempts.lock().unwrap_or_else(PoisonError::into_inner), from, to)
    }

    /// Forgets attempts that were over before a moment: a client of hours keeps millions otherwise.
    pub fn forget(&self, before: Moment) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).retain(|attempt| attempt.ended >= before);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn ask_on(host: &Host, target: SocketAddr, memory: Memory, log: &Arc<Mutex<Vec<Attempt>>>, stop: &AtomicBool) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut forgotten = Moment::default();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let now = Moment::now();
        let is_due = waiting.load(Ordering::Relaxed) == 0 || now.since(forgotten) >= ASK_AGAIN;
        if memory == Memory::Cleared && is_due {
            forgotten = now;
            // An entry that cannot be deleted makes this client no colder than the other: the figures then say so.
            drop(host.forget_neighbour(LINK, target.ip()));
        }
        let (log, waiting) = (Arc::clone(log), Arc::clone(&waiting));
        waiting.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let started = Moment::now();
            let ending = timeout(GIVE_UP, fetch(target)).await.unwrap_or(Ending::Unconnected);
            waiting.fetch_sub(1, Ordering::Relaxed);
            let attempt = Attempt { started, ended: Moment::now(), ending };
            log.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
        });
    }
}

async fn fetch(target: SocketAddr) -> Ending {
    let Ok(connection) = TcpStream::connect(target).await else { return Ending::Unconnected };
    // What hangs from here on is given up as a whole, and counts as unconnected: it is lost to the client either way.
    match page(connection, target).await {
        Ok(Some(by)) => Ending::Served(by),
        Ok(None) | Err(_) => Ending::Cut,
    }
}

async fn page(mut connection: TcpStream, target: SocketAddr) -> io::Result<Option<String>> {
    let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(http::page_of(&answer).map(|page| page.trim().to_owned()))
}
