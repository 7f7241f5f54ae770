//! announce-bgp
