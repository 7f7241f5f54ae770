//! What is asked about: a Service by name, or an address; and which names are near one that is not there.

use std::net::IpAddr;

use lbcore::addresses::parse_address;
use lbcore::service::ServiceKey;
use thiserror::Error;

/// The namespace of a Service that is named without one.
const DEFAULT_NAMESPACE: &str = "default";
/// Names that are this many changes away are near.
const NEAR: usize = 2;
/// How many near names are told.
const NAMED: usize = 4;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A Service by its name.
    Service(ServiceKey),
    /// Whoever has this address.
    Address(IpAddr),
}

/// A text that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is neither a Service nor an address: write NAMESPACE/NAME, NAME, or an IPv4 or IPv6 address")]
pub struct NoSubject {
    /// What was given.
    pub text: String,
}

impl Subject {
    /// Reads `NAMESPACE/NAME`, `NAME` (in `default`), or an address.
    ///
    /// # Errors
    /// [`NoSubject`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NoSubject> {
        if let Some(address) = parse_address(text) {
            return Ok(Self::Address(address));
        }
        let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, text));
        match ServiceKey::new(namespace, name) {
            Ok(key) if !name.contains('/') => Ok(Self::Service(key)),
            Ok(_) | Err(_) => Err(NoSubject { text: text.to_owned() }),
        }
    }
}

/// The Services whose names are near one that is not there, the nearest first: the same name in another namespace, one with a few letters
/// changed, one that contains it.
pub(super) fn near<'a>(wanted: &ServiceKey, known: impl Iterator<Item = &'a ServiceKey>) -> Vec<&'a ServiceKey> {
    let mut found: Vec<(usize, &ServiceKey)> = known.filter_map(|key| Some((farness(wanted, key)?, key))).collect();
    found.sort_unstable();
    found.into_iter().take(NAMED).map(|(_, key)| key).collect()
}

/// How far a name is from the one wanted; `None` where it is not near.
fn farness(wanted: &ServiceKey, known: &ServiceKey) -> Option<usize> {
    if wanted.name() == known.name() {
        return Some(0);
    }
    let away = changes(wanted.as_str(), known.as_str());
    if away <= NEAR {
        return Some(away);
    }
    let same_namespace = wanted.namespace() == known.namespace();
    let contains = known.name().contains(wanted.name()) || wanted.name().contains(known.name());
    (same_namespace && contains).then_some(NEAR + 1)
}

/// How many letters must be changed, put in or taken out to make one text the other.
fn changes(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (above, other) in row.iter().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(letter != *other);
            before = replaced.min(above + 1).min(before + 1);
            next.push(before);
            diagonal = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ServiceKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_without_a_namespace_is_in_default() {
        assert_eq!(Subject::parse("web"), Ok(Subject::Service(key("default/web"))));
        assert_eq!(Subject::parse("shop/web"), Ok(Subject::Service(key("shop/web"))));
        assert_eq!(Subject::parse("::ffff:192.0.2.1"), Ok(Subject::Address("192.0.2.1".parse().unwrap())));
        for bad in ["", "/", "a/", "/b", "a/b/c"] {
            assert!(Subject::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn near_names_are_told_the_nearest_first() {
        let known = ["shop/web", "shop/webb", "office/web", "shop/web-admin", "other/thing"].map(key);
        let near = near(&key("shop/wbe"), known.iter());
        assert_eq!(near.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["shop/web", "shop/webb"]);
        let near = super::near(&key("default/web"), known.iter());
        assert_eq!(near.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["office/web", "shop/web"]);
        assert_eq!(changes("kitten", "sitting"), 3);
    }
}
