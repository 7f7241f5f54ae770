//! Community aliases, and what an advertisement's list of communities stands for ([COMM-4] to [COMM-6]).

use std::collections::{BTreeMap, BTreeSet};

use super::Level;
use super::problem::{Category, ObjectRef};
use super::raw::{Raw, RawCommunity};
use super::report::{Findings, Report};
use crate::community::{Community, ParseCommunityError};

/// Most communities of one advertisement ([ADV-35], [FRR-17]).
const COMMUNITIES_LIMIT: usize = 63;
/// How a community is written.
const FORMS: &str = "write A:B with numbers up to 65535, or large:A:B:C with numbers up to 4294967295";

/// What each alias stands for; `None` where its value is refused, so that using it is no second problem.
#[derive(Debug, Default)]
pub(super) struct Aliases(BTreeMap<String, Option<Community>>);

/// Reads all aliases, in the order of the objects' names ([COMM-4]).
pub(super) fn read_aliases(objects: &[&Raw<RawCommunity>], findings: &mut Findings) -> Aliases {
    let mut aliases = Aliases::default();
    let mut owners: BTreeMap<&str, &ObjectRef> = BTreeMap::new();
    for raw in objects {
        let mut report = findings.on(&raw.object);
        for (place, alias) in raw.spec.communities.iter().enumerate() {
            let value = alias.value.parse::<Community>();
            if let Err(error) = &value {
                let field = format!("spec.communities[{place}].value");
                report.error(Category::InvalidCommunity, field, error.to_string(), FORMS);
            }
            if let Some(owner) = owners.get(alias.name.as_str()) {
                report.error(
                    Category::DuplicateCommunityAlias,
                    format!("spec.communities[{place}].name"),
                    format!("the alias {:?} is already defined by {owner}", alias.name),
                    "give it another name or remove one of the two",
                );
                continue;
            }
            owners.insert(&alias.name, &raw.object);
            aliases.0.insert(alias.name.clone(), value.ok());
        }
    }
    aliases
}

/// Resolves the list of an advertisement: aliases before literals ([API-COMM-2], [COMM-5]).
pub(super) fn resolve(
    list: &[String],
    aliases: &Aliases,
    level: Level,
    report: &mut Report<'_>,
) -> BTreeSet<Community> {
    report.duplicate_entries("spec.communities", list);
    let mut communities = BTreeSet::new();
    for (place, text) in list.iter().enumerate() {
        if let Some(value) = aliases.0.get(text) {
            communities.extend(*value);
            continue;
        }
        let field = format!("spec.communities[{place}]");
        match text.parse::<Community>() {
            Ok(community) => {
                communities.insert(community);
            }
            // Admission does not know the aliases yet, and a text without a colon can only be one ([WEBHOOK-20]).
            Err(ParseCommunityError::Format { .. }) if level == Level::Admission && !text.contains(':') => {}
            Err(ParseCommunityError::Format { .. }) => report.error(
                Category::UnknownCommunity,
                field,
                format!("{text:?} is no community, and no Community object defines it as an alias"),
                format!("define the alias in a Community object, or {FORMS}"),
            ),
            Err(error) => report.error(Category::InvalidCommunity, field, error.to_string(), FORMS),
        }
    }
    if communities.len() > COMMUNITIES_LIMIT {
        report.error(
            Category::InvalidCommunity,
            "spec.communities",
            format!("{} communities are more than a route may carry", communities.len()),
            format!("keep at most {COMMUNITIES_LIMIT}"),
        );
    }
    communities
}
