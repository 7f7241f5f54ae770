//! Every frame that enters a switch, with the host it came from and the kernel's time stamp.
//!
//! The frames are taken where they come in, before the bridge: a port names the true origin, whatever the frame claims. Frames that
//! the switch then loses because of a [`crate::Fault`] are marked as lost.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;

use crate::arp;
use crate::clock::Moment;
use crate::deadline::wait_until;
use crate::error::{Error, Result};
use crate::ndp::Message;
use crate::segment::Segment;
use crate::sys;

/// At most this many frames are kept; later ones are counted as lost.
pub const KEPT_FRAMES: usize = 1_000_000;

/// Octets kept of each frame: member frames have at most 1,200 and their headers.
pub const KEPT_OCTETS: usize = 1_514;

/// Queue of the socket in octets; 16 MiB are some 20,000 frames with the kernel's overhead.
const QUEUE_OCTETS: i32 = 16 << 20;

/// How often the capture looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Which frames are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// ARP and neighbor discovery only.
    Arp,
    /// What announces addresses: ARP, neighbor discovery, group frames (members), and BGP both ways.
    Announcements,
    /// ARP, neighbor discovery and group frames (the heartbeats and claims of members).
    ArpAndGroups,
    /// Everything.
    Everything,
}

impl Keep {
    fn wants(self, frame: &[u8]) -> bool {
        let is_arp = frame.get(12..14).is_some_and(|part| part == arp::ETHER_TYPE.to_be_bytes())
            || Message::read(frame).is_some();
        let is_group = frame.first().is_some_and(|octet| octet & 1 == 1);
        match self {
            Self::Announcements => is_arp || is_group || is_bgp(frame),
            Self::Arp => is_arp,
            Self::ArpAndGroups => is_arp || is_group,
            Self::Everything => true,
        }
    }
}

/// Whether a frame is TCP from or to port 179. IPv6 extension headers are not looked through: no BGP speaker sends any.
fn is_bgp(frame: &[u8]) -> bool {
    let octet = |at: usize| frame.get(at).copied().unwrap_or_default();
    let ports = match frame.get(12..14) {
        Some([0x08, 0x00]) if octet(23) == TCP => 14 + usize::from(octet(14) & 0x0f) * 4,
        Some([0x86, 0xdd]) if octet(20) == TCP => 14 + 40,
        _ => return false,
    };
    [ports, ports + 2].iter().any(|at| frame.get(*at..at + 2) == Some(&BGP_PORT.to_be_bytes()))
}

/// Protocol number of TCP.
const TCP: u8 = 6;
/// Port of BGP (RFC 4271 section 8).
const BGP_PORT: u16 = 179;

/// A frame as it came into the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When, by the kernel's stamp.
    pub at: Moment,
    /// Name of the host whose port it came in by.
    pub host: Arc<str>,
    /// The frame from its Ethernet header on; at most 1,514 octets.
    pub octets: Vec<u8>,
    /// Whether the others could hear it.
    pub fate: Fate,
}

/// What the switch did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was forwarded.
    Forwarded,
    /// It was lost because of a fault at the host's port.
    Lost,
}

/// A running capture. It stops when it is dropped.
#[derive(Debug)]
pub struct Capture {
    segment: Segment,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    frames: Mutex<Vec<Frame>>,
    lost: AtomicU64,
    last_read: Mutex<Moment>,
    stop: AtomicBool,
    keep: Keep,
}

impl Capture {
    /// Starts to read every frame that enters the segment's switch.
    ///
    /// # Errors
    /// [`Error::System`] where no packet socket can be opened.
    pub fn start(segment: &Segment, keep: Keep) -> Result<Self> {
        let doing = || format!("capturing on segment {}", segment.name());
        let opened = segment.switch().inside(|| {
            // The queue is prepared first: what comes in before the bind is not ours.
            let socket = sys::packet_socket(0, 0)?;
            sys::prepare_capture(&socket, QUEUE_OCTETS)?;
            socket.set_read_timeout(Some(LOOK_EVERY))?;
            sys::bind_packet(&socket, sys::EVERY_PROTOCOL)?;
            Ok(socket)
        })?;
        let socket = opened.map_err(|source| Error::system(doing(), source))?;
        let shared = Arc::new(Shared {
            frames: Mutex::default(),
            lost: AtomicU64::new(0),
            last_read: Mutex::new(Moment::now()),
            stop: AtomicBool::new(false),
            keep,
        });
        let (writer, ports) = (Arc::clone(&shared), segment.clone());
        let builder = thread::Builder::new().name("capture".into());
        let thread = builder
            .spawn(move || read_frames(&socket, &ports, &writer))
            .map_err(|source| Error::system(doing(), source))?;
        Ok(Self { segment: segment.clone(), shared, thread: Some(thread) })
    }

    /// All frames so far, in the order of their stamps. Frames that came in before the call are among them.
    ///
    /// # Errors
    /// [`Error::Late`] where the reading thread cannot keep up.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        self.catch_up()?;
        let mut frames = self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mutes = self.segment.mutes();
        for frame in &mut frames {
            if mutes.iter().any(|mute| mute.covers(&frame.host, frame.at)) {
                frame.fate = Fate::Lost;
            }
        }
        frames.sort_by_key(|frame| frame.at);
        Ok(frames)
    }

    /// Frames that the kernel or the bound of [`KEPT_FRAMES`] dropped: with any, no judgement is worth anything.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Forgets the frames so far.
    pub fn clear(&self) {
        self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Writes all frames so far to a file that tcpdump and Wireshark read.
    ///
    /// # Errors
    /// [`Error::System`] where the file cannot be written.
    pub fn write_pcap(&self, path: &Path) -> Result<()> {
        let frames = self.frames()?;
        write_pcap(path, &frames).map_err(|source| Error::system(format!("writing {}", path.display()), source))
    }

    /// Waits until the reader has emptied its queue once after now.
    fn catch_up(&self) -> Result<()> {
        let now = Moment::now();
        let seen = || (*self.shared.last_read.lock().unwrap_or_else(PoisonError::into_inner) > now).then_some(());
        wait_until(Duration::from_secs(10), "the capture to catch up", seen)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Reads until it is told to stop. Ports that join later are looked up when their first frame comes.
fn read_frames(socket: &Socket, segment: &Segment, shared: &Shared) {
    let mut names: BTreeMap<u32, Arc<str>> = BTreeMap::new();
    let mut room = vec![0; KEPT_OCTETS];
    while !shared.stop.load(Ordering::Relaxed) {
        match sys::receive(socket, &mut room) {
            Ok(received) => {
                let octets = room.get(..received.stored).unwrap_or_default();
                let at = Moment::from_epoch(received.at);
                if shared.keep.wants(octets)
                    && let Some(host) = origin(&mut names, segment, received.link_index)
                {
                    keep(shared, Frame { at, host, octets: octets.to_vec(), fate: Fate::Forwarded });
                }
                advance(shared, at);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let lost = sys::frames_lost(socket).unwrap_or(0);
                shared.lost.fetch_add(u64::from(lost), Ordering::Relaxed);
                advance(shared, Moment::now());
            }
            // A port went down (ENETDOWN once): the socket hears the others on.
            Err(_) => {}
        }
    }
}

fn advance(shared: &Shared, to: Moment) {
    *shared.last_read.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

/// The host behind a port; `None` for the bridge itself, which repeats what its ports received.
fn origin(names: &mut BTreeMap<u32, Arc<str>>, segment: &Segment, link_index: u32) -> Option<Arc<str>> {
    if let Some(name) = names.get(&link_index) {
        return Some(Arc::clone(name));
    }
    let port = segment.ports().into_iter().find(|port| port.index == link_index)?;
    Some(Arc::clone(names.entry(link_index).or_insert_with(|| Arc::from(port.host))))
}

fn keep(shared: &Shared, frame: Frame) {
    let mut frames = shared.frames.lock().unwrap_or_else(PoisonError::into_inner);
    if frames.len() < KEPT_FRAMES {
        frames.push(frame);
    } else {
        shared.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// The classic format with microseconds (magic a1b2c3d4), link type Ethernet.
fn write_pcap(path: &Path, frames: &[Frame]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let octets = u32::try_from(KEPT_OCTETS).unwrap_or(u32::MAX);
    file.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
    file.write_all(&[2, 0, 4, 0])?;
    for word in [0, 0, octets, 1] {
        file.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let since = frame.at.since_epoch();
        let length = u32::try_from(frame.octets.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        for word in [seconds, since.subsec_micros(), length, length] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(&frame.octets)?;
    }
    file.flush()
}
