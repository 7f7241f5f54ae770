//! Who wrote what: the API server's own record of every write, so that a test can say "and nothing else was written".

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;

use crate::clock::Moment;
use crate::error::{Error, Result};

/// Every write once, when it has been answered; no read.
pub(crate) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, verbs: [get, list, watch]}
- {level: Metadata}
";

/// One write as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Write {
    /// Who asked: `admin`, `system:serviceaccount:metallb-system:controller`.
    pub user: String,
    /// `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural of the kind: `services`, `leases`.
    pub resource: String,
    /// `status`, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name; empty for a creation with a generated name.
    pub name: String,
    /// Status of the answer: 200 and 201 are success, 409 is a conflict.
    pub code: u16,
    /// When it was answered, on the API server's clock, which is the clock of captured frames.
    pub at: Moment,
}

impl Write {
    /// Whether the API server carried it out.
    pub const fn is_success(&self) -> bool {
        self.code >= 200 && self.code < 300
    }
}

/// Reads the record; a last line that is not whole yet is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Write>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(parse).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::system(format!("reading {}", path.display()), source)),
    }
}

fn parse(line: &str) -> Option<Write> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let object = event.get("objectRef")?;
    let code = event.get("responseStatus").and_then(|status| status.get("code")).and_then(Value::as_u64);
    Some(Write {
        user: text(event.get("user")?, "username"),
        verb: text(&event, "verb"),
        resource: text(object, "resource"),
        subresource: text(object, "subresource"),
        namespace: text(object, "namespace"),
        name: text(object, "name"),
        code: code.and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
        at: moment(&text(&event, "stageTimestamp")).unwrap_or_default(),
    })
}

/// Reads `2026-11-26T13:12:08.123456Z` (RFC 3339, always UTC with six digits of a second here).
fn moment(text: &str) -> Option<Moment> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.')?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(by).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    // Years from March on, so that the leap day is the last of its year and every month before it has a fixed place.
    let (year, month) = if month < 3 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let seconds = days.checked_sub(DAYS_TO_1970)? * 86_400 + hour * 3_600 + minute * 60 + second;
    let micros = fraction.parse::<u64>().ok().filter(|_| fraction.len() == 6)?;
    Some(Moment::from_epoch(Duration::from_secs(seconds) + Duration::from_micros(micros)))
}

/// Days from 1 March of year 0, counted as day 1, to 1 January 1970.
const DAYS_TO_1970: u64 = 719_469;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000000Z", 0),
            ("2000-02-29T00:00:00.000000Z", 951_782_400),
            ("2000-03-01T00:00:00.000000Z", 951_868_800),
            ("2026-12-31T23:59:59.000000Z", 1_798_761_599),
        ] {
            assert_eq!(moment(text).map(|at| at.since_epoch().as_secs()), Some(seconds), "{text}");
        }
        assert_eq!(moment("2026-11-26T13:12:08Z"), None);
    }

    #[test]
    fn an_event_is_read_and_half_a_line_is_not() {
        let line = r#"{"verb":"patch","user":{"username":"admin"},"objectRef":{"resource":"services","namespace":"default","name":"web","subresource":"status"},"responseStatus":{"code":200},"stageTimestamp":"2026-11-26T13:12:08.123456Z"}"#;
        let write = parse(line).unwrap();
        assert_eq!((write.resource.as_str(), write.subresource.as_str(), write.code), ("services", "status", 200));
        assert!(write.is_success());
        assert_eq!(write.at.since_epoch(), Duration::new(1_795_698_728, 123_456_000));
        assert_eq!(line.get(..40).and_then(parse), None);
    }
}
