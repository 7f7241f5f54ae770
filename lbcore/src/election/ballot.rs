//! What an election hashes, prepared for many nodes at once.
//!
//! What is hashed is one node's name, `#`, and the text of an address, nearly always one block of 64 octets. The names are laid out as
//! words once, the address once for each place within a word at which it can begin; a block is then made of both without copying octets.
//! Texts that do not fit in a block, and what is left over when the nodes do not come out even, go the ordinary way.

use std::net::IpAddr;

use super::digest;
use super::lanes::{LANES, compress};
use crate::service::NodeName;

/// So many digests one after the other take as long as [`LANES`] side by side.
const WORTH_IT: usize = 20;
/// Words of a block that text can be in; the last two hold its length.
const TEXT_WORDS: usize = 14;
/// Octets of text that fit in a block, with one after it that ends it.
const FITS: usize = 55;
/// Words that the longest text of an address, the octet that ends it and the place at which it begins can take.
const TAIL_WORDS: usize = 11;

/// A node's name and `#` as the first words of a block.
#[derive(Clone, Debug)]
pub(crate) struct Voter {
    words: [u32; TEXT_WORDS],
    /// Octets, `#` included; more than [`FITS`] where they do not fit in a block.
    length: usize,
}

impl Voter {
    pub(crate) fn new(node: &NodeName) -> Self {
        let text = node.as_str().bytes().chain([b'#']);
        let length = node.as_str().len() + 1;
        let mut words = [0; TEXT_WORDS];
        for (word, octets) in words.iter_mut().zip(text.collect::<Vec<u8>>().chunks(4)) {
            *word = be_word(octets);
        }
        Self { words, length }
    }
}

/// Up to four octets as the high octets of a word.
fn be_word(octets: &[u8]) -> u32 {
    let mut word = [0; 4];
    word.iter_mut().zip(octets).for_each(|(to, octet)| *to = *octet);
    u32::from_be_bytes(word)
}

/// The text of an address, ready to be put behind names of nodes.
#[derive(Clone, Debug)]
pub(crate) struct Ballot {
    address: IpAddr,
    /// The text and the octet 0x80 that ends it, beginning at each octet of a word.
    tails: [[u32; TAIL_WORDS]; 4],
    /// Octets of the text.
    length: usize,
}

impl Ballot {
    pub(crate) fn new(address: IpAddr) -> Self {
        let text = address.to_canonical().to_string();
        let tail = |shift: usize| {
            let octets: Vec<u8> = std::iter::repeat_n(0, shift).chain(text.bytes()).chain([0x80]).collect();
            let mut words = [0; TAIL_WORDS];
            words.iter_mut().zip(octets.chunks(4)).for_each(|(word, octets)| *word = be_word(octets));
            words
        };
        Self { address, tails: [0, 1, 2, 3].map(tail), length: text.len() }
    }

    fn fits(&self, voter: &Voter) -> bool {
        voter.length + self.length <= FITS
    }

    /// The first eight octets of the digest of one node.
    pub(crate) fn prefix(address: IpAddr, node: &NodeName) -> u64 {
        let digest = digest(node, address);
        digest.first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets))
    }

    /// The first eight octets of the digests of several nodes, given with the number of each.
    pub(crate) fn prefixes<'v, N: Copy>(
        &self,
        voters: impl IntoIterator<Item = (N, &'v NodeName, &'v Voter)>,
        mut take: impl FnMut(N, u64),
    ) {
        let mut waiting: [Option<(N, &NodeName, &Voter)>; LANES] = [None; LANES];
        let mut count = 0;
        for (number, node, voter) in voters {
            if !self.fits(voter) {
                take(number, Self::prefix(self.address, node));
                continue;
            }
            if let Some(place) = waiting.get_mut(count) {
                *place = Some((number, node, voter));
                count += 1;
            }
            if count == LANES {
                self.prefixes_of_all(&waiting, &mut take);
                (waiting, count) = ([None; LANES], 0);
            }
        }
        if count > WORTH_IT {
            self.prefixes_of_all(&waiting, &mut take);
        } else {
            waiting.into_iter().flatten().for_each(|(number, node, _)| take(number, Self::prefix(self.address, node)));
        }
    }

    fn prefixes_of_all<N: Copy>(&self, voters: &[Option<(N, &NodeName, &Voter)>; LANES], mut take: impl FnMut(N, u64)) {
        let mut block = [[0; LANES]; 16];
        for (lane, voter) in voters.iter().enumerate() {
            let Some((_, _, voter)) = voter else { continue };
            self.lay_out(voter, lane, &mut block);
        }
        let [high, low] = compress(block);
        for ((voter, high), low) in voters.iter().zip(high).zip(low) {
            if let Some((number, ..)) = voter {
                take(*number, u64::from(high) << 32 | u64::from(low));
            }
        }
    }

    /// Writes the block of a node: name, `#`, address, 0x80, zeros, and the length in bits.
    fn lay_out(&self, voter: &Voter, lane: usize, block: &mut [[u32; LANES]; 16]) {
        let mut words = [0; 16];
        words.iter_mut().zip(voter.words).for_each(|(to, word)| *to = word);
        let (word, shift) = (voter.length / 4, voter.length % 4);
        if let (Some(rest), Some(tail)) = (words.get_mut(word..), self.tails.get(shift)) {
            rest.iter_mut().zip(tail).for_each(|(to, word)| *to |= word);
        }
        let bits = u32::try_from((voter.length + self.length) * 8).unwrap_or(u32::MAX);
        if let Some(last) = words.last_mut() {
            *last = bits;
        }
        for (row, word) in block.iter_mut().zip(words) {
            if let Some(to) = row.get_mut(lane) {
                *to = word;
            }
        }
    }
}
