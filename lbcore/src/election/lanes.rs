//! SHA-256 (FIPS 180-4) of many short texts side by side, written so that the compiler makes vector instructions of it: on processors
//! without instructions for SHA that is three times as fast as one after the other, and ten times or more with AVX2 or AVX-512, which
//! are found when the program runs. Of fewer than 16 at once it makes none.

use multiversion::multiversion;

/// How many digests are made side by side.
pub(super) const LANES: usize = 64;

/// What one digest is made of: the text, padded and with its length, as words.
pub(super) type Block = [u32; 16];

/// One word of each digest.
type Word = [u32; LANES];

/// The first 32 bits of the fractional parts of the square roots of the first eight primes (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
const ROUNDS: [[u32; 16]; 4] = [
    [
        0x428a_2f98,
        0x7137_4491,
        0xb5c0_fbcf,
        0xe9b5_dba5,
        0x3956_c25b,
        0x59f1_11f1,
        0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98,
        0x1283_5b01,
        0x2431_85be,
        0x550c_7dc3,
        0x72be_5d74,
        0x80de_b1fe,
        0x9bdc_06a7,
        0xc19b_f174,
    ],
    [
        0xe49b_69c1,
        0xefbe_4786,
        0x0fc1_9dc6,
        0x240c_a1cc,
        0x2de9_2c6f,
        0x4a74_84aa,
        0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152,
        0xa831_c66d,
        0xb003_27c8,
        0xbf59_7fc7,
        0xc6e0_0bf3,
        0xd5a7_9147,
        0x06ca_6351,
        0x1429_2967,
    ],
    [
        0x27b7_0a85,
        0x2e1b_2138,
        0x4d2c_6dfc,
        0x5338_0d13,
        0x650a_7354,
        0x766a_0abb,
        0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1,
        0xa81a_664b,
        0xc24b_8b70,
        0xc76c_51a3,
        0xd192_e819,
        0xd699_0624,
        0xf40e_3585,
        0x106a_a070,
    ],
    [
        0x19a4_c116,
        0x1e37_6c08,
        0x2748_774c,
        0x34b0_bcb5,
        0x391c_0cb3,
        0x4ed8_aa4a,
        0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee,
        0x78a5_636f,
        0x84c8_7814,
        0x8cc7_0208,
        0x90be_fffa,
        0xa450_6ceb,
        0xbef9_a3f7,
        0xc671_78f2,
    ],
];

/// One round, a part of [`compress_all`]. What the standard calls the new `e` is left in `d`, and the new `a` in `h`; the caller names
/// them so in the next round.
#[expect(clippy::indexing_slicing, reason = "the numbers of lanes are those of the arrays")]
#[expect(clippy::many_single_char_names, reason = "they are those of the standard")]
#[expect(
    clippy::inline_always,
    reason = "a function of its own would have none of the instructions that its caller may use"
)]
#[inline(always)]
fn round([a, b, c, e, f, g]: [&Word; 6], d: &mut Word, h: &mut Word, word: &Word, constant: u32) {
    for lane in 0..LANES {
        let sum = e[lane].rotate_right(6) ^ e[lane].rotate_right(11) ^ e[lane].rotate_right(25);
        let choice = g[lane] ^ (e[lane] & (f[lane] ^ g[lane]));
        let first = h[lane].wrapping_add(sum).wrapping_add(choice).wrapping_add(constant).wrapping_add(word[lane]);
        let sum = a[lane].rotate_right(2) ^ a[lane].rotate_right(13) ^ a[lane].rotate_right(22);
        let majority = (a[lane] & b[lane]) | (c[lane] & (a[lane] | b[lane]));
        d[lane] = d[lane].wrapping_add(first);
        h[lane] = first.wrapping_add(sum).wrapping_add(majority);
    }
}

/// The words of the next 16 rounds in place of those of the last. A part of [`compress_all`], too.
#[expect(clippy::indexing_slicing, reason = "words are counted modulo 16, and lanes are those of the arrays")]
#[expect(
    clippy::inline_always,
    reason = "a function of its own would have none of the instructions that its caller may use"
)]
#[inline(always)]
fn extend(block: &mut [Word; 16]) {
    for place in 0..16 {
        let (far, near, middle) = (block[(place + 1) % 16], block[(place + 14) % 16], block[(place + 9) % 16]);
        let word = &mut block[place];
        for lane in 0..LANES {
            let low = far[lane].rotate_right(7) ^ far[lane].rotate_right(18) ^ (far[lane] >> 3);
            let high = near[lane].rotate_right(17) ^ near[lane].rotate_right(19) ^ (near[lane] >> 10);
            word[lane] = word[lane].wrapping_add(low).wrapping_add(middle[lane]).wrapping_add(high);
        }
    }
}

/// The first two words of the digest of each block (FIPS 180-4, 6.2.2).
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn compress(blocks: &[Block; LANES]) -> [Word; 2] {
    compress_all(side_by_side(blocks))
}

/// The blocks word by word. A part of [`compress`], too.
#[expect(
    clippy::inline_always,
    reason = "a function of its own would have none of the instructions that its caller may use"
)]
#[inline(always)]
fn side_by_side(blocks: &[Block; LANES]) -> [Word; 16] {
    let mut words = [[0; LANES]; 16];
    for (lane, block) in blocks.iter().enumerate() {
        for (word, from) in words.iter_mut().zip(block) {
            if let Some(to) = word.get_mut(lane) {
                *to = *from;
            }
        }
    }
    words
}

/// [`compress`], compiled once for each kind of processor.
#[expect(clippy::many_single_char_names, reason = "they are those of the standard")]
#[expect(
    clippy::inline_always,
    reason = "a function of its own would have none of the instructions that its caller may use"
)]
#[inline(always)]
fn compress_all(mut block: [Word; 16]) -> [Word; 2] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = INITIAL.map(|word| [word; LANES]);
    for (pass, constants) in ROUNDS.iter().enumerate() {
        if pass > 0 {
            extend(&mut block);
        }
        let (words, _) = block.as_chunks::<8>();
        let (constants, _) = constants.as_chunks::<8>();
        for ([w0, w1, w2, w3, w4, w5, w6, w7], [k0, k1, k2, k3, k4, k5, k6, k7]) in words.iter().zip(constants) {
            round([&a, &b, &c, &e, &f, &g], &mut d, &mut h, w0, *k0);
            round([&h, &a, &b, &d, &e, &f], &mut c, &mut g, w1, *k1);
            round([&g, &h, &a, &c, &d, &e], &mut b, &mut f, w2, *k2);
            round([&f, &g, &h, &b, &c, &d], &mut a, &mut e, w3, *k3);
            round([&e, &f, &g, &a, &b, &c], &mut h, &mut d, w4, *k4);
            round([&d, &e, &f, &h, &a, &b], &mut g, &mut c, w5, *k5);
            round([&c, &d, &e, &g, &h, &a], &mut f, &mut b, w6, *k6);
            round([&b, &c, &d, &f, &g, &h], &mut e, &mut a, w7, *k7);
        }
    }
    let [start_a, start_b, ..] = INITIAL;
    [a.map(|word| word.wrapping_add(start_a)), b.map(|word| word.wrapping_add(start_b))]
}
