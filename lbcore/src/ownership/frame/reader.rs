//! A bounds-checked reader over received octets.

use std::net::IpAddr;

use super::FrameError;

/// Reads from the front; every method fails with the offset where octets ran out.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, offset: 0 }
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn malformed(&self) -> FrameError {
        FrameError::Malformed { offset: self.offset }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        self.offset += length;
        Ok(head)
    }

    pub(super) fn skip(&mut self, length: usize) -> Result<(), FrameError> {
        self.take(length).map(|_| ())
    }

    /// A reader over the next octets alone; offsets go on counting.
    pub(super) fn sub(&mut self, length: usize) -> Result<Self, FrameError> {
        let offset = self.offset;
        Ok(Self { rest: self.take(length)?, offset })
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.malformed())?;
        self.rest = rest;
        self.offset += N;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn number16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn number32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn number64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }

    /// One octet of family (4 or 6), then the address.
    pub(super) fn address(&mut self) -> Result<IpAddr, FrameError> {
        let malformed = self.malformed();
        match self.byte()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            _ => Err(malformed),
        }
    }

    /// One octet of length, then as much UTF-8.
    pub(super) fn short_text(&mut self) -> Result<&'a str, FrameError> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    /// Two octets of length, then as much UTF-8.
    pub(super) fn long_text(&mut self) -> Result<&'a str, FrameError> {
        let length = usize::from(self.number16()?);
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, FrameError> {
        let malformed = self.malformed();
        core::str::from_utf8(self.take(length)?).map_err(|_| malformed)
    }
}
