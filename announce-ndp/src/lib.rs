//! announce-ndp
