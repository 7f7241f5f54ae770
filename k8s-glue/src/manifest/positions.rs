//! Where each field of a document stands, and how its scalars were written, from an event parser.
//!
//! The values themselves come from another parser, so everything here is best effort: where the two see a text differently the
//! line of the nearest parent is given, and nothing fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::breaks::Breaks;
use super::keys::Sorted;

/// One node; children are indices into the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// A scalar; `plain` is its text where it was written without quotes and without a tag.
    Scalar {
        line: usize,
        plain: Option<Box<str>>,
    },
    List {
        line: usize,
        items: Vec<usize>,
    },
    Map {
        line: usize,
        entries: Vec<Entry>,
        /// For looking up by key.
        sorted: Sorted,
    },
    /// A repetition of an earlier node, if that is known.
    Alias {
        line: usize,
        target: Option<usize>,
    },
}

/// One key of a map and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) line: usize,
    pub(super) value: usize,
}

impl Spot {
    const fn line(&self) -> usize {
        match self {
            Self::Scalar { line, .. } | Self::List { line, .. } | Self::Map { line, .. } | Self::Alias { line, .. } => {
                *line
            }
        }
    }
}

/// The lines of the fields of one document, or of one item of a list; shared and cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    spots: Arc<[Spot]>,
    root: Option<usize>,
    /// The line to give where nothing is known.
    first_line: usize,
}

impl Positions {
    /// Reads the positions of a document that begins at this line of its file.
    ///
    /// # Errors
    /// The line at which the document is too much for a parser, and why; it must not be given to another parser then.
    pub(super) fn of(text: &str, first_line: usize) -> Result<Self, (usize, String)> {
        let mut builder =
            Builder { spots: Vec::new(), anchors: BTreeMap::new(), open: Vec::new(), root: None, first_line };
        let breaks = Breaks::of(text);
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) if is_too_deep(&error, text) => {
                    let line = first_line + breaks.before(error.marker().line());
                    return Err((line, "it is nested too deep".to_owned()));
                }
                Err(_) => break,
            };
            if builder.spots.len() > MAX_NODES {
                let line = first_line + breaks.before(span.start.line());
                return Err((line, format!("it has more than {MAX_NODES} values: divide it into several documents")));
            }
            let is_collection = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
            if is_collection && builder.waits_for_key() {
                // A collection as a key, which the value reader refuses: there will be no value to look up.
                break;
            }
            builder.take(event, first_line + breaks.before(span.start.line()));
        }
        builder.close_all();
        Ok(Self { root: builder.root, spots: builder.spots.into(), first_line })
    }

    /// No position but the first line.
    pub(crate) fn unknown(first_line: usize) -> Self {
        Self { spots: Arc::new([]), root: None, first_line }
    }

    /// The line of a field, written as `spec.addresses[1]` or `metadata.annotations[example.com/a.b]` (keys may hold dots in both
    /// forms); of its nearest parent where it does not exist.
    pub fn line_of(&self, path: &str) -> usize {
        let mut line = self.first_line;
        let Some(mut spot) = self.root.and_then(|root| self.resolve(root)) else { return line };
        line = line.max(spot.line());
        let mut rest = path;
        while let Some((at, next, after)) = self.step(spot, rest) {
            line = at;
            rest = after;
            match next {
                Some(next) => spot = next,
                None => break,
            }
        }
        line
    }

    /// One step along the path: the line reached, the node there, and what is left of the path.
    fn step<'p>(&self, spot: &Spot, path: &'p str) -> Option<(usize, Option<&Spot>, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        match spot {
            Spot::Map { entries, sorted, .. } => {
                let bracketed = path.strip_prefix('[').and_then(|inner| inner.split_once(']'));
                let (entry, after) = if let Some((key, after)) = bracketed {
                    (sorted.exact(entries, key)?, after)
                } else {
                    let entry = sorted.longest_prefix(entries, path)?;
                    (entry, path.get(entry.key.len()..).unwrap_or_default())
                };
                (!entry.key.is_empty()).then(|| (entry.line, self.resolve(entry.value), after))
            }
            Spot::List { items, .. } => {
                let (index, after) = path.strip_prefix('[')?.split_once(']')?;
                let item = self.spots.get(*items.get(index.parse::<usize>().ok()?)?)?;
                Some((item.line(), self.resolve_spot(item), after))
            }
            Spot::Scalar { .. } | Spot::Alias { .. } => None,
        }
    }

    fn resolve(&self, index: usize) -> Option<&Spot> {
        self.resolve_spot(self.spots.get(index)?)
    }

    fn resolve_spot<'s>(&'s self, spot: &'s Spot) -> Option<&'s Spot> {
        match spot {
            // An alias points to an earlier node, which is no alias itself.
            Spot::Alias { target, .. } => self.spots.get((*target)?),
            Spot::Scalar { .. } | Spot::List { .. } | Spot::Map { .. } => Some(spot),
        }
    }

    /// The positions of an item of a list in this document, for `kind: List`.
    pub(super) fn item(&self, key: &str, index: usize) -> Self {
        let item = self.root_spot().and_then(|root| match self.child(root, key)?.1 {
            Spot::List { items, .. } => items.get(index).copied(),
            Spot::Scalar { .. } | Spot::Map { .. } | Spot::Alias { .. } => None,
        });
        let first_line = item.and_then(|item| self.spots.get(item)).map_or(self.first_line, Spot::line);
        Self { spots: Arc::clone(&self.spots), root: item, first_line }
    }

    /// The root node, aliases followed.
    pub(super) fn root_spot(&self) -> Option<&Spot> {
        self.root.and_then(|root| self.resolve(root))
    }

    /// The last entry of a map with this key, and its value with aliases followed.
    pub(super) fn child<'s>(&'s self, spot: &'s Spot, key: &str) -> Option<(&'s Entry, &'s Spot)> {
        let Spot::Map { entries, sorted, .. } = spot else { return None };
        let entry = sorted.exact(entries, key)?;
        Some((entry, self.resolve(entry.value)?))
    }

    /// The value of the entry at this place of a map, with aliases followed, where the key agrees.
    pub(super) fn entry<'s>(&'s self, spot: &'s Spot, place: usize) -> Option<(&'s Entry, Option<&'s Spot>)> {
        let Spot::Map { entries, .. } = spot else { return None };
        let entry = entries.get(place)?;
        Some((entry, self.resolve(entry.value)))
    }

    /// The item of a list: its line, and the item with aliases followed.
    pub(super) fn element<'s>(&'s self, spot: &'s Spot, place: usize) -> Option<(usize, Option<&'s Spot>)> {
        let Spot::List { items, .. } = spot else { return None };
        let item = self.spots.get(*items.get(place)?)?;
        Some((item.line(), self.resolve_spot(item)))
    }

    /// The line of the document's first field.
    pub fn first_line(&self) -> usize {
        self.root_spot().map_or(self.first_line, |spot| spot.line().max(self.first_line))
    }
}

/// Brackets beyond which a text that the event parser gives up is not read on: the other parser takes time in the square of its
/// nesting, a tenth of a second for this many.
const MAX_BRACKETS: usize = 10_000;
/// No document has more values: each takes a few hundred octets of memory while it is read. A list of a hundred thousand Services, as
/// kubectl writes it, has less.
const MAX_NODES: usize = 10_000_000;

fn is_too_deep(error: &ScanError, text: &str) -> bool {
    *error.kind() == ErrorKind::RecursionLimitExceeded
        || text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_BRACKETS
}

/// What is being built: a stack of collections that are still open.
struct Builder {
    spots: Vec<Spot>,
    /// Node of each anchor, by the parser's number.
    anchors: BTreeMap<usize, usize>,
    open: Vec<Open>,
    root: Option<usize>,
    first_line: usize,
}

struct Open {
    index: usize,
    /// The key that waits for its value (maps only).
    key: Option<(Box<str>, usize)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = (style == ScalarStyle::Plain && tag.is_none()).then(|| Box::from(&*text));
                if self.waits_for_key() {
                    self.remember(anchor, usize::MAX);
                    self.set_key(&text, line);
                } else {
                    let index = self.add(Spot::Scalar { line, plain });
                    self.remember(anchor, index);
                }
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Spot::List { line, items: Vec::new() }, anchor),
            Event::MappingStart(_, anchor, _) => {
                self.begin(Spot::Map { line, entries: Vec::new(), sorted: Sorted::default() }, anchor);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                if self.waits_for_key() {
                    self.set_key("", line);
                } else {
                    let target = self.anchors.get(&anchor).copied();
                    self.add(Spot::Alias { line, target });
                }
            }
            // Marks of the stream, and whatever a later release of the parser adds.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_)
            | _ => {}
        }
    }

    fn waits_for_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| open.key.is_none() && matches!(self.spots.get(open.index), Some(Spot::Map { .. })))
    }

    fn set_key(&mut self, key: &str, line: usize) {
        if let Some(open) = self.open.last_mut() {
            open.key = Some((key.into(), line));
        }
    }

    fn remember(&mut self, anchor: usize, index: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, index);
        }
    }

    fn begin(&mut self, spot: Spot, anchor: usize) {
        let index = self.add(spot);
        self.remember(anchor, index);
        self.open.push(Open { index, key: None });
    }

    fn close(&mut self) {
        let spot = self.open.pop().and_then(|open| self.spots.get_mut(open.index));
        if let Some(Spot::Map { entries, sorted, .. }) = spot {
            *sorted = Sorted::of(entries);
        }
    }

    /// For a text that ends too early.
    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close();
        }
    }

    fn add(&mut self, spot: Spot) -> usize {
        let index = self.spots.len();
        self.spots.push(spot);
        match self.open.last_mut() {
            None => {
                self.root.get_or_insert(index);
            }
            Some(open) => match self.spots.get_mut(open.index) {
                Some(Spot::List { items, .. }) => items.push(index),
                Some(Spot::Map { entries, .. }) => {
                    let (key, line) = open.key.take().unwrap_or_else(|| ("".into(), self.first_line));
                    entries.push(Entry { key, line, value: index });
                }
                Some(Spot::Scalar { .. } | Spot::Alias { .. }) | None => {}
            },
        }
        index
    }
}
