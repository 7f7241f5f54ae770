//! The object in which a process says whether it can use the configuration ([CFGST-1] to [CFGST-10]).
//!
//! Pure but for [`bring`]: what the object shall say, and what of that has to be written, given what it says now.

use kube::api::ApiResource;
use serde_json::{Map, Value, json};

use super::clock::WallTime;
use super::watch::Kind;
use super::write::{Answer, Taken, Target, WriteError, Writer};

/// The API server refuses longer messages ([API-CFGST-1]).
const MESSAGE_LIMIT: usize = 32_768;
/// What the message of a refused configuration begins with ([CFGST-3]).
const MARKER: &str = "configuration error: ";

/// Which process speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Controller,
    /// The speaker of this node.
    Speaker(String),
}

impl Component {
    /// The name of the object ([API-CFGST-2]).
    pub(crate) fn object_name(&self) -> String {
        match self {
            Self::Controller => "controller".to_owned(),
            Self::Speaker(node) => format!("speaker-{node}"),
        }
    }

    /// The field owner of the condition ([CFGST-2]).
    const fn owner(&self) -> &'static str {
        match self {
            Self::Controller => "poolReconciler",
            Self::Speaker(_) => "configReconciler",
        }
    }

    /// Type of the condition that says what is taken without being honoured in full.
    const fn remark_condition(&self) -> &'static str {
        match self {
            Self::Controller => "poolReconcilerHonoured",
            Self::Speaker(_) => "configReconcilerHonoured",
        }
    }

    const fn condition(&self) -> &'static str {
        match self {
            Self::Controller => "poolReconcilerValid",
            Self::Speaker(_) => "configReconcilerValid",
        }
    }

    fn labels(&self) -> Map<String, Value> {
        let mut labels = Map::new();
        let component = match self {
            Self::Controller => "controller",
            Self::Speaker(node) => {
                labels.insert("metallb.io/node-name".to_owned(), label_value(node).into());
                "speaker"
            }
        };
        labels.insert("metallb.io/component-type".to_owned(), component.into());
        labels
    }
}

/// A node's name as a value of a label: names above 63 octets are cut and told apart by a digest ([API-BGPST-2]).
pub(crate) fn label_value(node: &str) -> String {
    use sha2::{Digest as _, Sha256};
    const LIMIT: usize = 63;
    if node.len() <= LIMIT {
        return node.to_owned();
    }
    let octets = Sha256::digest(node.as_bytes());
    let number = octets.iter().take(8).fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    let digest = format!("{number:016x}");
    let kept = node.get(..LIMIT - digest.len() - 1).unwrap_or_default();
    format!("{kept}-{digest}")
}

/// Whether the process can use the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in force.
    Reconciled,
    /// It is refused; all reasons, one a line.
    ConfigurationError(String),
    /// Something else keeps it from being used, such as a list that the API server does not give.
    UnknownError(String),
}

impl Verdict {
    const fn status(&self) -> &'static str {
        match self {
            Self::Reconciled => "True",
            Self::ConfigurationError(_) | Self::UnknownError(_) => "False",
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Reconciled => "Reconciled",
            Self::ConfigurationError(_) => "ConfigurationError",
            Self::UnknownError(_) => "UnknownError",
        }
    }

    /// [CFGST-6]; what is not known to be a fault of the configuration is neither valid nor invalid ([CFGST-9]).
    const fn result(&self) -> &'static str {
        match self {
            Self::Reconciled => "Valid",
            Self::ConfigurationError(_) => "Invalid",
            Self::UnknownError(_) => "Unknown",
        }
    }

    fn message(&self) -> String {
        let mut text = match self {
            Self::Reconciled => String::new(),
            Self::ConfigurationError(reasons) => format!("{MARKER}{reasons}"),
            Self::UnknownError(reason) => reason.clone(),
        };
        cut(&mut text);
        text
    }
}

/// Cuts a message to what the API server takes.
fn cut(text: &mut String) {
    if text.len() > MESSAGE_LIMIT {
        let end = (0..=MESSAGE_LIMIT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
    }
}

/// The Pod that owns the object: name and identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnPod {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl OwnPod {
    /// As an object names its owner; plain, not a controller ([CFGST-1]).
    pub(crate) fn reference(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid})
    }
}

/// What has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// The object is not there, or lacks its labels or its owner.
    Object,
    /// The status differs.
    Status,
}

/// Who speaks, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speaking {
    pub(crate) component: Component,
    pub(crate) namespace: String,
    /// `None` outside of a cluster.
    pub(crate) pod: Option<OwnPod>,
    /// What is taken without being honoured in full, one line each; empty where there is nothing such. It makes nothing invalid.
    pub(crate) remark: String,
}

impl Speaking {
    /// What the object lacks. Only the time of a condition does not count ([CFGST-10]).
    pub(crate) fn need(&self, observed: Option<&Map<String, Value>>, verdict: &Verdict) -> Need {
        let Some(observed) = observed else { return Need::Object };
        let metadata = observed.get("metadata");
        let labels = metadata.and_then(|metadata| metadata.get("labels"));
        // Others may put labels of their own beside ours, as policies of a cluster do.
        let own = self.component.labels();
        let is_labelled = own.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value));
        let owners = metadata.and_then(|metadata| metadata.get("ownerReferences")?.as_array());
        let is_owned = self.pod.as_ref().is_none_or(|pod| {
            owners.is_some_and(|owners| {
                owners.iter().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(pod.uid.as_str()))
            })
        });
        if !is_labelled || !is_owned {
            return Need::Object;
        }
        if self.says(observed, verdict) { Need::Nothing } else { Need::Status }
    }

    fn says(&self, observed: &Map<String, Value>, verdict: &Verdict) -> bool {
        let Some(status) = observed.get("status") else { return false };
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = verdict.message();
        let conditions = status.get("conditions").and_then(Value::as_array);
        let own = conditions
            .and_then(|conditions| conditions.iter().find(|one| text(one, "type") == self.component.condition()));
        text(status, "result") == verdict.result()
            && text(status, "errorSummary") == message
            && own.is_some_and(|own| {
                text(own, "status") == verdict.status()
                    && text(own, "reason") == verdict.reason()
                    && text(own, "message") == message
            })
            && self.remarks(conditions)
    }

    fn remarks(&self, conditions: Option<&Vec<Value>>) -> bool {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_ours = |one: &&Value| text(one, "type") == self.component.remark_condition();
        let standing =
            conditions.and_then(|conditions| conditions.iter().find(is_ours)).map(|one| text(one, "message"));
        standing.unwrap_or_default() == self.remark_message()
    }

    fn remark_message(&self) -> String {
        let mut text = self.remark.clone();
        cut(&mut text);
        text
    }

    fn body(&self, observed: Option<&Map<String, Value>>) -> Value {
        let standing = observed.and_then(|observed| observed.get("metadata")?.get("labels")?.as_object());
        let mut labels = standing.cloned().unwrap_or_default();
        labels.extend(self.component.labels());
        let mut metadata = json!({
            "name": self.component.object_name(), "namespace": self.namespace, "labels": labels,
        });
        if let Some(pod) = &self.pod
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert("ownerReferences".to_owned(), json!([pod.reference()]));
        }
        let version = observed.and_then(version_of);
        if let (Some(version), Some(metadata)) = (version, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        json!({"apiVersion": "metallb.io/v1beta1", "kind": "ConfigurationState", "metadata": metadata})
    }

    async fn say(&self, writer: &Writer, target: Target<'_>, verdict: &Verdict) -> Result<Answer, WriteError> {
        let body = self.status(verdict, WallTime::now());
        writer.apply_status(target, self.component.owner(), &body).await
    }

    fn status(&self, verdict: &Verdict, wall: WallTime) -> Value {
        let message = verdict.message();
        let mut conditions = vec![json!({
            "type": self.component.condition(),
            "status": verdict.status(),
            "reason": verdict.reason(),
            "message": message,
            "lastTransitionTime": wall.seconds(),
        })];
        if !self.remark.is_empty() {
            conditions.push(json!({
                "type": self.component.remark_condition(),
                "status": "False",
                "reason": "NotSupported",
                "message": self.remark_message(),
                "lastTransitionTime": wall.seconds(),
            }));
        }
        json!({
            "apiVersion": "metallb.io/v1beta1",
            "kind": "ConfigurationState",
            "metadata": {"name": self.component.object_name(), "namespace": self.namespace},
            "status": {
                "result": verdict.result(),
                "errorSummary": message,
                "conditions": conditions,
            },
        })
    }
}

/// The version of an object.
fn version_of(object: &Map<String, Value>) -> Option<&str> {
    object.get("metadata")?.get("resourceVersion")?.as_str()
}

/// Makes the one write that is needed first; what comes of it is seen by the watch, and may need another. Where the object cannot be given
/// what it lacks, it says at least what is true.
///
/// # Errors
/// [`WriteError`].
pub(crate) async fn bring(
    writer: &Writer,
    speaking: &Speaking,
    observed: Option<&Map<String, Value>>,
    verdict: &Verdict,
) -> Result<Taken, WriteError> {
    let resource: ApiResource = Kind::ConfigurationState.resource();
    let name = speaking.component.object_name();
    let target = Target { resource: &resource, namespace: &speaking.namespace, name: &name };
    let standing = observed.and_then(version_of);
    let need = speaking.need(observed, verdict);
    let mut answer: Answer = match need {
        Need::Nothing => return Ok(Taken::Unchanged),
        Need::Object if observed.is_none() => writer.create(target, &speaking.body(None)).await?,
        Need::Object => writer.replace(target, &speaking.body(observed)).await?,
        Need::Status => speaking.say(writer, target, verdict).await?,
    };
    let is_silent = || observed.is_some_and(|observed| !speaking.says(observed, verdict));
    if need == Need::Object && answer.taken_on(standing) == Taken::Unchanged && is_silent() {
        answer = speaking.say(writer, target, verdict).await?;
    }
    tracing::debug!(version = answer.version(), "configuration state was written");
    Ok(answer.taken_on(standing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaking() -> Speaking {
        let pod = OwnPod { name: "controller-1".to_owned(), uid: "uid-1".to_owned() };
        Speaking {
            component: Component::Controller,
            namespace: "metallb-system".to_owned(),
            pod: Some(pod),
            remark: String::new(),
        }
    }

    fn merged(speaking: &Speaking, verdict: &Verdict) -> Map<String, Value> {
        let mut object = speaking.body(None);
        object["status"] = speaking.status(verdict, WallTime::default())["status"].clone();
        object.as_object().unwrap().clone()
    }

    // [CFGST-1], [CFGST-10]
    #[test]
    fn what_was_written_needs_no_other_write() {
        let speaking = speaking();
        let refused = Verdict::ConfigurationError("pool p overlaps pool q".to_owned());
        for verdict in [Verdict::Reconciled, refused.clone(), Verdict::UnknownError("no list".to_owned())] {
            assert_eq!(speaking.need(Some(&merged(&speaking, &verdict)), &verdict), Need::Nothing);
        }
        assert_eq!(speaking.need(None, &refused), Need::Object);
        assert_eq!(speaking.need(Some(&merged(&speaking, &Verdict::Reconciled)), &refused), Need::Status);
        let mut bare = merged(&speaking, &Verdict::Reconciled);
        bare.remove("status");
        assert_eq!(speaking.need(Some(&bare), &Verdict::Reconciled), Need::Status);
        bare["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(speaking.need(Some(&bare), &Verdict::Reconciled), Need::Object);
    }

    // [CFGST-10]
    #[test]
    fn labels_of_others_need_no_write_and_are_kept_by_one() {
        let speaking = speaking();
        let mut object = merged(&speaking, &Verdict::Reconciled);
        object["metadata"]["labels"]["team"] = json!("x");
        assert_eq!(speaking.need(Some(&object), &Verdict::Reconciled), Need::Nothing);
        object.remove("status");
        assert_eq!(speaking.need(Some(&object), &Verdict::Reconciled), Need::Status, "they do not stand before it");
        object["metadata"]["ownerReferences"] = json!([]);
        assert_eq!(speaking.need(Some(&object), &Verdict::Reconciled), Need::Object);
        let labels = json!({"metallb.io/component-type": "controller", "team": "x"});
        assert_eq!(speaking.body(Some(&object))["metadata"]["labels"], labels);
    }

    // [CFGST-3], [CFGST-6]
    #[test]
    fn a_refusal_is_invalid_and_says_all_reasons() {
        let speaking = speaking();
        let verdict = Verdict::ConfigurationError("first\nsecond".to_owned());
        let status = &speaking.status(&verdict, WallTime::default())["status"];
        assert_eq!(status["result"], "Invalid");
        assert_eq!(status["errorSummary"], "configuration error: first\nsecond");
        assert_eq!(status["conditions"][0]["type"], "poolReconcilerValid");
        let long = Verdict::ConfigurationError("ä".repeat(40_000));
        assert!(long.message().len() <= MESSAGE_LIMIT);
    }

    // Fields that are not honoured yet make nothing invalid and are not passed over in silence.
    #[test]
    fn a_remark_is_a_condition_of_its_own() {
        let mut speaking = speaking();
        let plain = merged(&speaking, &Verdict::Reconciled);
        speaking.remark = "BGPPeer tor: the session runs without BFD".to_owned();
        assert_eq!(speaking.need(Some(&plain), &Verdict::Reconciled), Need::Status);
        let remarked = merged(&speaking, &Verdict::Reconciled);
        assert_eq!(remarked["status"]["result"], "Valid");
        assert_eq!(remarked["status"]["conditions"][1]["status"], "False");
        assert_eq!(speaking.need(Some(&remarked), &Verdict::Reconciled), Need::Nothing);
        speaking.remark = "ä".repeat(40_000);
        let long = merged(&speaking, &Verdict::Reconciled);
        assert!(long["status"]["conditions"][1]["message"].as_str().unwrap().len() <= MESSAGE_LIMIT);
        assert_eq!(speaking.need(Some(&long), &Verdict::Reconciled), Need::Nothing);
        speaking.remark.clear();
        assert_eq!(speaking.need(Some(&remarked), &Verdict::Reconciled), Need::Status);
    }

    // [CFGST-9]
    #[test]
    fn what_could_not_be_listed_is_not_called_valid() {
        let verdict = Verdict::UnknownError("pools cannot be listed".to_owned());
        assert_eq!((verdict.result(), verdict.status()), ("Unknown", "False"));
    }

    // [API-BGPST-2]
    #[test]
    fn long_names_become_labels_that_differ() {
        let (left, right) = (format!("{}a", "n".repeat(70)), format!("{}b", "n".repeat(70)));
        assert_eq!(label_value(&left).len(), 63);
        assert_ne!(label_value(&left), label_value(&right));
        assert_eq!(label_value("n1"), "n1");
    }
}
