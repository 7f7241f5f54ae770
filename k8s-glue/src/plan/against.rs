//! `ferrule plan --against`: what an input changes for the Services of now, which live addresses it would move, and why.
//!
//! The input after `--against` is the state of now, best with statuses (`kubectl get -o yaml`). Services of the new input keep the
//! addresses of now as far as the new configuration lets them, as a running program would. `overlay` takes what the new input leaves out
//! from the state of now, `difference` compares two plans, `why` says what the rules say of each loss.
//!
//! Live is an address that the state of now records in the status of a Service. What the state of now would merely get by its own plan is in
//! no use: a difference there is printed, and moves nothing.

mod difference;
mod overlay;
mod text;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lbcore::addresses::parse_address;
use lbcore::allocator::Hold;
use lbcore::config::{Config, Settings};
use lbcore::service::{PoolName, ServiceKey};

use self::difference::{Difference, Gone, Kept, Live, Taken, difference};
use self::overlay::{Merged, merge, without_unknown_secrets};
use super::{PlanError, PlanSettings, Planned, PlannedService, planned, remarks};
use crate::args::{Outcome, PlanArgs, PlanOutput};
use crate::convert::{Objects, ServiceObject};
use crate::freeze;
use crate::honoured;
use crate::load::{self, Input, Unreadable};
use crate::manifest::Document;
use crate::output;
use crate::recorded::Recorded;
use crate::report::{Finding, Report};

/// Plans both inputs and prints the difference.
pub(super) fn compare(arguments: &PlanArgs, checks: &Settings, settings: PlanSettings) -> Result<Outcome, PlanError> {
    let mut before = load::read(&arguments.against, checks);
    let mut after = load::read(&arguments.input.filenames, checks);
    let Recorded { holds, kept } = Recorded::of(&before.documents, &checks.install_namespace);
    before.objects.config.kept = kept;
    let Merged { documents, taken, gone } =
        if arguments.complete { Merged::complete(&before, &mut after) } else { merge(&before, &mut after) };
    if before.objects.config.secrets.is_empty() && after.objects.config.secrets.is_empty() {
        without_unknown_secrets(&mut before.objects.config);
        without_unknown_secrets(&mut after.objects.config);
    }
    let (config_before, report_before) = checked(&before, &before.documents, checks);
    let (config_after, report_after) = checked(&after, &documents, checks);
    let (Some(config_before), Some(config_after)) = (config_before, config_after) else {
        output::print(&Report::joined([report_before, report_after]).to_json())?;
        return Ok(Outcome::InputBad);
    };
    warn(&report_before, report_after, &config_after, &after, &documents)?;
    let (config, services) = (&before.objects.config, &before.objects.services);
    let config_before = freeze::effective(&config_before, config, services, &BTreeMap::new(), None, checks);
    let settings = PlanSettings { holds, ..settings };
    let plan_before = planned(&config_before, &before.objects, &settings)?;
    let mut objects = after.objects;
    let live = live(&before.objects);
    // Where addresses are recorded, a Service without one waits, and gets what the new input gives it.
    let is_anything_live = live.values().any(|recorded| !recorded.is_empty());
    let has = |service: &&PlannedService| live.get(&service.service).is_some_and(|recorded| !recorded.is_empty());
    let holders = plan_before.plan.services.iter().filter(|service| !is_anything_live || has(service));
    keep_addresses(&mut objects, holders);
    let pools = pools_of(&plan_before);
    let config_after =
        freeze::effective(&config_after, &objects.config, &objects.services, &pools, Some(&config_before), checks);
    let holds = waiting(&plan_before, &config_after, &objects.services)?;
    let settings = PlanSettings { holds, ..settings };
    let plan_after = planned(&config_after, &objects, &settings)?;
    output::complain(&remarks::of(&settings, &objects, &plan_after.silent))?;
    let difference = Difference {
        kept: kept_by_freezes(&config_after, &plan_before.plan.services),
        taken: taken.into_iter().map(|(kind, count)| Taken { kind, count }).collect(),
        gone: gone.into_iter().map(|(kind, names)| Gone { kind, names }).collect(),
        ..difference(&plan_before, &plan_after, &live)
    };
    output::print(&match arguments.output {
        PlanOutput::Table => text::of(&difference),
        PlanOutput::Json => output::json(&difference),
        PlanOutput::Yaml => output::yaml(&difference),
    })?;
    Ok(if difference.moves.is_empty() { Outcome::Good } else { Outcome::AddressesMove })
}

/// Says what is odd about the new input, as far as the state of now has it not as well.
fn warn(
    before: &Report,
    mut after: Report,
    config: &Config,
    input: &Input,
    documents: &[Document],
) -> Result<(), PlanError> {
    after.add(honoured::findings(&input.objects.config.peers, config, documents), &input.files);
    after.leave_out(before);
    Ok(output::complain(&after.warnings())?)
}

/// The configuration of an input, `None` where anything in it is an error, and everything that was found.
fn checked(input: &Input, documents: &[Document], checks: &Settings) -> (Option<Arc<Config>>, Report) {
    let outcome = Config::build(&input.objects.config, checks);
    let mut findings: Vec<Finding> = input.findings.clone();
    let unreadable = Unreadable::of(&input.typed);
    let ruled = outcome.problems.into_iter().filter(|problem| !unreadable.explains(problem));
    findings.extend(ruled.map(|problem| Finding::of_problem(problem, documents)));
    let report = Report::new(findings, &input.files, documents.len());
    (outcome.config.filter(|_| report.is_valid()), report)
}

/// The pool of each Service that has addresses now.
fn pools_of(before: &Planned<'_>) -> BTreeMap<ServiceKey, PoolName> {
    let with_pool = before.assignments.iter().filter_map(|assignment| {
        let pool = assignment.outcome.pool.clone()?;
        Some((assignment.state.key.clone(), pool))
    });
    with_pool.collect()
}

/// What waits under the new configuration: what does now, and what Services had that are gone.
fn waiting(before: &Planned<'_>, config: &Config, services: &[ServiceObject]) -> Result<Vec<Hold>, PlanError> {
    let there: BTreeSet<&ServiceKey> = services.iter().map(|service| &service.key).collect();
    let mut allocator = before.allocator.clone();
    allocator.follow(config)?;
    let known = before.assignments.iter().map(|assignment| &assignment.state.key);
    for gone in known.filter(|service| !there.contains(service)) {
        allocator.forget_by_key(gone);
    }
    Ok(allocator.holds().cloned().collect())
}

/// What freezes keep of the addresses that Services have now.
fn kept_by_freezes(config: &Config, services: &[PlannedService]) -> Vec<Kept> {
    let pools = config.pools().values().map(|configured| &configured.pool);
    let kept = pools.flat_map(|pool| pool.kept.iter().map(move |ip| (*ip, pool.name.to_string())));
    let holder = |ip| services.iter().find(|service| service.ips.contains(&ip)).map(|service| service.service.clone());
    kept.map(|(ip, pool)| Kept { ip, pool, service: holder(ip).unwrap_or_default() }).collect()
}

/// Records the addresses of now with the Services that have none recorded.
fn keep_addresses<'p>(objects: &mut Objects, before: impl Iterator<Item = &'p PlannedService>) {
    let held: BTreeMap<&str, &PlannedService> = before.map(|service| (service.service.as_str(), service)).collect();
    for service in &mut objects.services {
        if service.recorded.iter().all(String::is_empty)
            && let Some(held) = held.get(service.key.as_str())
        {
            service.recorded = held.ips.iter().map(ToString::to_string).collect();
        }
    }
}

/// The recorded addresses of each Service.
fn live(objects: &Objects) -> Live {
    let recorded = |service: &ServiceObject| service.recorded.iter().filter_map(|text| parse_address(text)).collect();
    objects.services.iter().map(|service| (service.key.to_string(), recorded(service))).collect()
}
