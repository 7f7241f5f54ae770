//! `ferrule validate`: everything that is wrong with the input, in one run.

use lbcore::allocator::Allocator;
use lbcore::config::Settings;

use crate::args::{Outcome, ValidateArgs, ValidateOutput};
use crate::honoured;
use crate::load::{self, Loaded};
use crate::output;
use crate::plan::{self, PlanError, PlanSettings};
use crate::report::Finding;

/// Reads the input and prints what was found. Services whose request cannot be met are warnings; where the configuration is refused, they
/// are told as far as the request itself is wrong. So are fields that this build does not honour.
///
/// # Errors
/// [`PlanError`].
pub fn validate(arguments: &ValidateArgs) -> Result<Outcome, PlanError> {
    let settings = Settings { install_namespace: arguments.input.namespace.as_str().into(), ..Settings::default() };
    let Loaded { documents, malformed, objects, config, mut report, files } =
        load::load(&arguments.input.filenames, &settings);
    let settings = PlanSettings {
        load_balancer_class: arguments.input.load_balancer_class.clone(),
        standalone: arguments.standalone,
        ..PlanSettings::default()
    };
    let peers = &objects.config.peers;
    let lacking = match &config {
        Some(config) => honoured::not_honoured(peers, config),
        None => honoured::not_honoured_of_refused(peers),
    };
    report.add(lacking.into_iter().map(|problem| Finding::of_problem(problem, &documents)).collect(), &files);
    let unmet = match config {
        Some(config) => {
            let assignments = plan::assign(&config, &objects, &settings, &mut Allocator::default())?;
            plan::unmet_requests(&assignments, &documents)
        }
        None => plan::faulty_requests(&objects, &settings, &malformed, &documents),
    };
    report.add(unmet, &files);
    output::print(&match arguments.output {
        ValidateOutput::Text => report.to_text(),
        ValidateOutput::Json => report.to_json(),
    })?;
    Ok(if report.is_valid() { Outcome::Good } else { Outcome::InputBad })
}
