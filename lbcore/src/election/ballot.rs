//! What an election hashes, prepared for many nodes at once.
//!
//! What is hashed is one node's name, `#`, and the text of an address, nearly always one block of 64 octets. The names are laid out as the
//! words of a block once, and the address once for each length of a name that it follows; a block is then one or the other bit by bit.
//! Texts that do not fit in a block, and what is left over when the nodes do not come out even, go the ordinary way.

use std::net::IpAddr;

use super::digest;
use super::lanes::{Block, LANES, compress};
use crate::service::NodeName;

/// So many digests one after the other take as long as [`LANES`] side by side.
const WORTH_IT: usize = 20;
/// Words of a block that text can be in; the last two hold its length.
const TEXT_WORDS: usize = 14;
/// Place of the word with the length in bits.
const LENGTH_WORD: usize = 15;
/// Octets of text that fit in a block, with one after it that ends it.
const FITS: usize = 55;
/// Words that the longest text of an address, the octet that ends it and the place at which it begins can take.
const TAIL_WORDS: usize = 11;

/// A node's name and `#` as the first words of a block, the others zero.
#[derive(Clone, Debug)]
pub(crate) struct Voter {
    words: Block,
    /// Octets, `#` included; more than [`FITS`] where they do not fit in a block.
    length: usize,
}

impl Voter {
    pub(crate) fn new(node: &NodeName) -> Self {
        let text = node.as_str().bytes().chain([b'#']);
        let length = node.as_str().len() + 1;
        let mut words = [0; 16];
        for (word, octets) in words.iter_mut().take(TEXT_WORDS).zip(text.collect::<Vec<u8>>().chunks(4)) {
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
        // By length of the name; all zeros until it is needed.
        let mut tails = [[0; 16]; FITS];
        let mut blocks = [[0; 16]; LANES];
        let mut waiting: [Option<(N, &NodeName)>; LANES] = [None; LANES];
        let mut count = 0;
        for (number, node, voter) in voters {
            let tail = tails.get_mut(voter.length).filter(|_| self.fits(voter));
            let (Some(tail), Some(block), Some(place)) = (tail, blocks.get_mut(count), waiting.get_mut(count)) else {
                take(number, Self::prefix(self.address, node));
                continue;
            };
            if *tail == [0; 16] {
                *tail = self.tail_behind(voter.length);
            }
            for ((to, name), tail) in block.iter_mut().zip(voter.words).zip(*tail) {
                *to = name | tail;
            }
            *place = Some((number, node));
            count += 1;
            if count == LANES {
                take_all(&waiting, &blocks, &mut take);
                count = 0;
            }
        }
        let waiting = waiting.get(..count).unwrap_or_default();
        if count > WORTH_IT {
            take_all(waiting, &blocks, &mut take);
        } else {
            waiting.iter().flatten().for_each(|(number, node)| take(*number, Self::prefix(self.address, node)));
        }
    }

    /// What follows a name of this length, `#` included: address, 0x80, zeros, and the length of all in bits.
    fn tail_behind(&self, length: usize) -> Block {
        let mut block = [0; 16];
        if let (Some(rest), Some(tail)) = (block.get_mut(length / 4..), self.tails.get(length % 4)) {
            rest.iter_mut().zip(tail).for_each(|(to, word)| *to = *word);
        }
        if let Some(bits) = block.get_mut(LENGTH_WORD) {
            *bits = u32::try_from((length + self.length) * 8).unwrap_or(u32::MAX);
        }
        block
    }
}

/// Hands out the digests of blocks, of which the first ones are those of the nodes that wait.
fn take_all<N: Copy>(waiting: &[Option<(N, &NodeName)>], blocks: &[Block; LANES], mut take: impl FnMut(N, u64)) {
    let [high, low] = compress(blocks);
    for ((waiting, high), low) in waiting.iter().zip(high).zip(low) {
        if let Some((number, _)) = waiting {
            take(*number, u64::from(high) << 32 | u64::from(low));
        }
    }
}
