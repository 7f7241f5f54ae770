//! A segment: a switch (a namespace with a bridge) with one port for each host, and the faults a switch and its cables can have.
//!
//! All faults are settings of the bridge's ports, by netlink: no packet filter need be installed. A host whose frames are lost still
//! *sends*; the segment remembers from when to when, so that a judge counts only what reached the others.

use std::sync::{Arc, Mutex, PoisonError};

use netlink_packet_route::link::InfoBridgePort;

use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::netlink::VethPair;

/// Name of the bridge in the switch's namespace.
pub(crate) const BRIDGE: &str = "bridge";

/// What goes wrong between one host and its switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The cable is pulled: the host loses its carrier.
    Carrier,
    /// The host's frames are lost at the switch; it still hears the others.
    FromHost,
    /// Group frames (not broadcast) do not reach the host.
    Multicast,
    /// Everything is lost both ways while the carrier stays.
    Silent,
    /// No frame reaches the host; its own still reach the others.
    TowardHost,
}

/// A switch with its ports.
#[derive(Clone, Debug)]
pub struct Segment {
    name: String,
    number: u8,
    switch: Host,
    ports: Arc<Mutex<Vec<Port>>>,
    mutes: Arc<Mutex<Vec<Mute>>>,
}

/// A port of the switch: which host is at its other end, by which link.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) host: String,
    pub(crate) link: String,
    pub(crate) index: u32,
}

/// A time in which the frames of a host did not reach the others.
#[derive(Clone, Debug)]
pub(crate) struct Mute {
    host: String,
    from: Moment,
    until: Option<Moment>,
}

impl Mute {
    /// Whether a frame of this host at this moment was lost.
    pub(crate) fn covers(&self, host: &str, at: Moment) -> bool {
        self.host == host && self.from <= at && self.until.is_none_or(|until| at <= until)
    }
}

impl Segment {
    pub(crate) fn new(name: &str, number: u8, hosts: &[&Host]) -> Result<Self> {
        let switch = Host::new("switch")?;
        // A switch says nothing by itself: what it sent would reach hosts that no other host's frames reach.
        switch.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        {
            let mut netlink = switch.netlink();
            netlink.add_bridge(BRIDGE)?;
            let bridge = netlink.index_of(BRIDGE)?;
            netlink.set_up(bridge, true)?;
        }
        let segment = Self { name: name.to_owned(), number, switch, ports: Arc::default(), mutes: Arc::default() };
        for host in hosts {
            segment.join(host)?;
        }
        Ok(segment)
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The switch itself, for rules and captures of one's own; its ports are called `p-HOST`.
    pub const fn switch(&self) -> &Host {
        &self.switch
    }

    /// Gives a host a port; returns the name of the link in the host (`eth0`, `eth1`, ...), which is up.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn join(&self, host: &Host) -> Result<String> {
        let link = host.next_link();
        let port_name = format!("p-{}", host.name());
        let number = self.with_ports(|ports| ports.len());
        // Locally administered, and different for every port: what a capture shows can be read at a glance.
        let number = u8::try_from(number + 1).map_err(|_| Error::Input {
            what: "number of hosts",
            value: number.to_string(),
            mend: "at most 255 on a segment".into(),
        })?;
        let mut netlink = self.switch.netlink();
        let bridge = netlink.index_of(BRIDGE)?;
        netlink.add_veth(&VethPair {
            here: &port_name,
            there: &link,
            there_hardware: [0x02, 0x1a, 0xb0, 0, self.number, number],
            there_namespace: host.namespace_raw(),
            bridge,
        })?;
        let index = netlink.index_of(&port_name)?;
        netlink.set_up(index, true)?;
        drop(netlink);
        host.up(&link)?;
        self.with_ports(|ports| ports.push(Port { host: host.name().to_owned(), link: link.clone(), index }));
        Ok(link)
    }

    /// The name of a host's link on this segment.
    ///
    /// # Errors
    /// [`Error::Input`] where the host has no port here.
    pub fn link_of(&self, host: &Host) -> Result<String> {
        self.port(host).map(|port| port.link)
    }

    /// Lets a fault begin at the port of a host. Faults of one host add up until [`Segment::heal`].
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn impose(&self, host: &Host, fault: Fault) -> Result<()> {
        let port = self.port(host)?;
        let mut netlink = self.switch.netlink();
        match fault {
            Fault::Carrier => netlink.set_up(port.index, false)?,
            Fault::FromHost | Fault::Multicast | Fault::Silent | Fault::TowardHost => {
                netlink.set_port(port.index, settings_of(fault))?;
                if fault != Fault::Multicast {
                    netlink.set_port(port.index, vec![InfoBridgePort::Flush])?;
                }
            }
        }
        drop(netlink);
        if matches!(fault, Fault::Carrier | Fault::FromHost | Fault::Silent) {
            let mute = Mute { host: host.name().to_owned(), from: Moment::now(), until: None };
            self.mutes.lock().unwrap_or_else(PoisonError::into_inner).push(mute);
        }
        Ok(())
    }

    /// Ends all faults of a host.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn heal(&self, host: &Host) -> Result<()> {
        let port = self.port(host)?;
        let now = Moment::now();
        for mute in self.mutes.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if mute.host == host.name() && mute.until.is_none() {
                mute.until = Some(now);
            }
        }
        let mut netlink = self.switch.netlink();
        netlink.set_up(port.index, true)?;
        let settings = vec![
            InfoBridgePort::Locked(false),
            InfoBridgePort::Learning(true),
            InfoBridgePort::UnicastFlood(true),
            InfoBridgePort::MulticastFlood(true),
            InfoBridgePort::BroadcastFlood(true),
            InfoBridgePort::Isolated(false),
        ];
        netlink.set_port(port.index, settings)
    }

    /// Hides these hosts from each other, while each still reaches all other hosts, until [`Segment::heal`] of each.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn isolate(&self, hosts: &[&Host]) -> Result<()> {
        for host in hosts {
            let port = self.port(host)?;
            self.switch.netlink().set_port(port.index, vec![InfoBridgePort::Isolated(true)])?;
        }
        Ok(())
    }

    /// Makes the switch look for listeners of groups (MLD and IGMP snooping), with a querier: a group is passed on only to ports that
    /// have reported it. The querier counts from half a second on.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn snoop(&self) -> Result<()> {
        // A querier asks from an address of its own.
        self.switch.sysctl("net.ipv6.conf.bridge.accept_dad", "0")?;
        self.switch.sysctl("net.ipv6.conf.bridge.disable_ipv6", "0")?;
        let mut netlink = self.switch.netlink();
        let bridge = netlink.index_of(BRIDGE)?;
        netlink.snoop(bridge)
    }

    pub(crate) fn ports(&self) -> Vec<Port> {
        self.with_ports(|ports| ports.clone())
    }

    pub(crate) fn mutes(&self) -> Vec<Mute> {
        self.mutes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn port(&self, host: &Host) -> Result<Port> {
        let found = self.with_ports(|ports| ports.iter().find(|port| port.host == host.name()).cloned());
        found.ok_or_else(|| Error::Input {
            what: "host of a segment",
            value: host.name().to_owned(),
            mend: format!("join it to segment {} first", self.name),
        })
    }

    fn with_ports<T>(&self, work: impl FnOnce(&mut Vec<Port>) -> T) -> T {
        work(&mut self.ports.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a fault is to the bridge. The port's state (disabled, blocking) is no way: the bridge sets it back at carrier events.
fn settings_of(fault: Fault) -> Vec<InfoBridgePort> {
    let deaf_to_groups = [InfoBridgePort::MulticastFlood(false)];
    // A locked port lets in only what the bridge has learnt there; it is made to forget that, and not to learn.
    let mute = [InfoBridgePort::Locked(true), InfoBridgePort::Learning(false)];
    // What is not known to be there is flooded, and this port is left out of every flood.
    let deaf = [
        InfoBridgePort::Learning(false),
        InfoBridgePort::UnicastFlood(false),
        InfoBridgePort::MulticastFlood(false),
        InfoBridgePort::BroadcastFlood(false),
    ];
    match fault {
        Fault::Carrier => Vec::new(),
        Fault::FromHost => mute.to_vec(),
        Fault::Multicast => deaf_to_groups.to_vec(),
        Fault::Silent => mute.into_iter().chain(deaf).collect(),
        Fault::TowardHost => deaf.to_vec(),
    }
}
