//! `ferrule controller` ([CCLI-1] to [CCLI-4]).

use clap::{ArgAction, Args, ValueEnum};

use super::role::{Ineffective, RoleArgs, Setting};
use super::spelling::{optional_text, switch};

/// Why flags of the webhooks change nothing.
const NO_WEBHOOKS: &str = "no webhooks are served";

/// Whether webhooks are served ([WEBHOOK-30]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WebhookMode {
    /// They are, beside everything else.
    Enabled,
    /// They are not.
    Disabled,
    /// They are, and nothing else is done: no election, no address.
    Onlywebhook,
}

/// Flags of `ferrule controller`.
#[derive(Args, Clone, Debug)]
pub struct ControllerArgs {
    /// What both roles take.
    #[command(flatten)]
    pub role: RoleArgs,

    /// The Secret with the key that speakers share; made where it is not there (without: no Secret is made).
    #[arg(long, value_name = "NAME", env = "METALLB_ML_SECRET_NAME", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub ml_secret_name: Setting,

    /// The Deployment that this process belongs to; the Secret is owned by it.
    #[arg(long, value_name = "NAME", env = "METALLB_DEPLOYMENT", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub deployment: Setting,

    /// Accepted without effect: no webhooks are served.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_parser = switch
    )]
    pub disable_cert_rotation: bool,

    /// Accepted without effect: no webhooks are served.
    #[arg(long, value_name = "FOLDER", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub cert_dir: Setting,

    /// Accepted without effect: no webhooks are served.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub cert_service_name: Setting,

    /// Accepted without effect: no webhooks are served.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub webhook_secret: Setting,

    /// No webhooks are served. With `onlywebhook` the process allocates nothing: it answers probes and waits.
    #[arg(long, value_name = "MODE", value_enum)]
    pub webhook_mode: Option<WebhookMode>,

    /// Accepted without effect: no webhooks are served.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_parser = switch
    )]
    pub webhook_http2: bool,
}

impl ControllerArgs {
    /// The flags that were given and change nothing; each is said once at start.
    pub fn without_effect(&self) -> Vec<Ineffective> {
        let serves = matches!(self.webhook_mode, Some(WebhookMode::Enabled | WebhookMode::Onlywebhook));
        let own = Ineffective::given([
            (self.disable_cert_rotation, "disable-cert-rotation", NO_WEBHOOKS),
            (self.cert_dir.is_some(), "cert-dir", NO_WEBHOOKS),
            (self.cert_service_name.is_some(), "cert-service-name", NO_WEBHOOKS),
            (self.webhook_secret.is_some(), "webhook-secret", NO_WEBHOOKS),
            (serves, "webhook-mode", NO_WEBHOOKS),
            (self.webhook_http2, "webhook-http2", NO_WEBHOOKS),
        ]);
        [self.role.without_effect(), own].concat()
    }
}
