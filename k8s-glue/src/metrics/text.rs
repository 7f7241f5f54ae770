//! The text format 0.0.4 of Prometheus: families in the order of their names, series in the order of their labels.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Family, MetricType};

/// What a scraper is told that the text is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// Any other.
    Real(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl From<bool> for Value {
    fn from(holds: bool) -> Self {
        Self::Count(u64::from(holds))
    }
}

/// The series of one page. A series that is given twice has the last value.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, PageFamily>,
}

#[derive(Debug)]
struct PageFamily {
    metric_type: MetricType,
    help: &'static str,
    labels: Vec<&'static str>,
    series: BTreeMap<Vec<String>, Value>,
}

impl Page {
    /// Adds a series.
    pub fn put<const N: usize>(&mut self, family: &Family<N>, labels: [&str; N], value: impl Into<Value>) {
        let on_page = self.families.entry(family.name).or_insert_with(|| PageFamily {
            metric_type: family.metric_type,
            help: family.help,
            labels: family.labels.to_vec(),
            series: BTreeMap::new(),
        });
        on_page.series.insert(labels.map(str::to_owned).to_vec(), value.into());
    }

    /// The page as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            // Writing to a text does not fail.
            let _ = writeln!(text, "# HELP {name} {}", family.help.replace('\\', r"\\").replace('\n', r"\n"));
            let _ = writeln!(text, "# TYPE {name} {}", family.metric_type.as_str());
            for (values, value) in &family.series {
                text.push_str(name);
                push_labels(&mut text, &family.labels, values);
                let _ = match value {
                    Value::Count(count) => writeln!(text, " {count}"),
                    Value::Real(real) => writeln!(text, " {real}"),
                };
            }
        }
        text
    }
}

fn push_labels(text: &mut String, names: &[&str], values: &[String]) {
    let pairs = names.iter().zip(values).map(|(name, value)| {
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        format!("{name}=\"{value}\"")
    });
    let pairs = pairs.collect::<Vec<_>>().join(",");
    if !pairs.is_empty() {
        // As above.
        let _ = write!(text, "{{{pairs}}}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::family;

    // [METRIC-20]: a counter keeps the name it has.
    #[test]
    fn names_stay_as_they_are_and_series_are_sorted() {
        let mut page = Page::default();
        page.put(&family::LAYER2_REQUESTS, ["192.0.2.2"], 7_u64);
        page.put(&family::LAYER2_REQUESTS, ["192.0.2.1"], 3_u64);
        page.put(&family::CONFIG_LOADED, [], true);
        let expected = "\
# HELP metallb_k8s_client_config_loaded_bool 1 once a configuration was loaded.
# TYPE metallb_k8s_client_config_loaded_bool gauge
metallb_k8s_client_config_loaded_bool 1
# HELP metallb_layer2_requests_received Requests (ARP, neighbour solicitations) received for the address while it was owned.
# TYPE metallb_layer2_requests_received counter
metallb_layer2_requests_received{ip=\"192.0.2.1\"} 3
metallb_layer2_requests_received{ip=\"192.0.2.2\"} 7
";
        assert_eq!(page.render(), expected);
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.put(&family::POOL_TOTAL, ["a\"b\\c\nd"], 1.5);
        assert!(page.render().contains(r#"{pool="a\"b\\c\nd"} 1.5"#), "{}", page.render());
    }
}
