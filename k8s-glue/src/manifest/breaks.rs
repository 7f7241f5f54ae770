//! Lines as parsers of YAML count them, turned into lines as everybody else counts them.
//!
//! For YAML a carriage return alone ends a line (YAML 1.2 section 5.4); for editors, compilers and this crate a line feed does.

/// The line feeds before each line that a parser counts; nothing is kept for a text in which both count alike.
pub(super) struct Breaks(Option<Box<[usize]>>);

impl Breaks {
    pub(super) fn of(text: &str) -> Self {
        let octets = text.as_bytes();
        let followed = octets.iter().zip(octets.iter().skip(1).map(Some).chain([None]));
        let ends = followed.filter(|(octet, next)| match octet {
            b'\n' => true,
            b'\r' => *next != Some(&b'\n'),
            _ => false,
        });
        if !ends.clone().any(|(octet, _)| *octet == b'\r') {
            return Self(None);
        }
        let mut feeds = 0;
        let begun = ends.map(|(octet, _)| {
            feeds += usize::from(*octet == b'\n');
            feeds
        });
        Self(Some(core::iter::once(0).chain(begun).collect()))
    }

    /// How many line feeds stand before a line of a parser, from 1.
    pub(super) fn before(&self, line: usize) -> usize {
        let line = line.saturating_sub(1);
        let Some(feeds) = &self.0 else { return line };
        feeds.get(line).or_else(|| feeds.last()).copied().unwrap_or(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carriage_return_alone_begins_no_line() {
        let breaks = Breaks::of("a\rb\r\nc\n\rd\n");
        let lines: Vec<usize> = (1..=7).map(|line| breaks.before(line)).collect();
        assert_eq!(lines, [0, 0, 1, 2, 2, 3, 3]);
        let plain = Breaks::of("a\r\nb\n");
        assert_eq!((plain.before(1), plain.before(3)), (0, 2));
    }
}
