//! A document as its parser sees it: entries in the order written, repeated keys and tags kept.
//!
//! `serde_json::Value` would lose both, and a parser's own value type refuses repeated keys with the wrong line. Any serde
//! format can be read into a [`Tree`]; a budget bounds what aliases may expand to.

use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::Number;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    /// Entries as written; a key may occur again.
    Map(Vec<(String, Self)>),
    /// A value with a tag that is not of YAML's core.
    Tagged(String, Box<Self>),
}

/// How YAML writes what is a number and has no value.
pub(super) const NOT_FINITE: [&str; 3] = [".nan", ".inf", "-.inf"];

/// A whole number beyond 64 bits, as kubectl has it: the nearest number with a fraction.
fn rounded(digits: &str) -> Tree {
    let number = digits.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Tree::Text(digits.to_owned()), Tree::Number)
}

/// No key of an object is longer; nor does YAML read one without a question mark before it (YAML 1.2 section 7.4.2).
const LONGEST_KEY_OCTETS: usize = 1024;

/// What may be read of a document: values and octets of their texts, counted together.
#[derive(Clone, Copy)]
pub(super) struct Reader<'b> {
    /// As much as a document of this length can hold without aliases.
    own: &'b Cell<usize>,
    /// What the aliases of all documents of the text may add.
    allowance: &'b Cell<usize>,
}

impl<'b> Reader<'b> {
    /// For a document.
    pub(super) fn of(text: &str, own: &'b Cell<usize>, allowance: &'b Cell<usize>) -> Self {
        // Three values take two octets at least (`[:,:]`), and two octets of an escape become three at most.
        own.set(text.len().saturating_mul(3).saturating_add(64));
        Self { own, allowance }
    }

    fn spend<E: Error>(self, amount: usize) -> Result<(), E> {
        let budget = if self.own.get() >= amount { self.own } else { self.allowance };
        let left = budget.get().checked_sub(amount);
        budget.set(left.ok_or_else(|| E::custom("its aliases, with those before it, expand to too many values"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        self.spend(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Tree, E> {
        Ok(rounded(&value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Tree, E> {
        Ok(rounded(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        // JSON knows neither infinity nor not-a-number; as text they fail every field that wants a number.
        let word = if value.is_nan() {
            NOT_FINITE[0]
        } else if value > 0.0 {
            NOT_FINITE[1]
        } else {
            NOT_FINITE[2]
        };
        Ok(Number::from_f64(value).map_or_else(|| Tree::Text(word.to_owned()), Tree::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        self.spend(value.len())?;
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Tree, E> {
        self.spend(value.len())?;
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let key = match key {
                Tree::Text(text) => text,
                Tree::Null => "null".to_owned(),
                Tree::Bool(value) => value.to_string(),
                Tree::Number(number) => number.to_string(),
                Tree::List(_) | Tree::Map(_) | Tree::Tagged(..) => {
                    return Err(A::Error::custom("a key must be a text, not a list or a map"));
                }
            };
            if key.len() > LONGEST_KEY_OCTETS {
                return Err(A::Error::custom(format_args!("a key is longer than {LONGEST_KEY_OCTETS} octets")));
            }
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Tree::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Tree, A::Error> {
        let (tag, content) = tagged.variant_seed(Tag)?;
        Ok(Tree::Tagged(tag, Box::new(content.newtype_variant_seed(self)?)))
    }
}

/// Reads the name of a tag.
struct Tag;

impl<'de> DeserializeSeed<'de> for Tag {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Tag {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
}
