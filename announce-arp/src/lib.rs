//! announce-arp
