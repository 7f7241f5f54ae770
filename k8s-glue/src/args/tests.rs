//! Tests of the command line.

use clap::CommandFactory;

use super::*;

fn parsed(words: &[&str]) -> Parsed {
    parse(words.iter().map(OsString::from)).unwrap()
}

pub(super) fn controller(flags: &[&str]) -> ControllerArgs {
    match parsed(&[&["ferrule", "controller"], flags].concat()) {
        Parsed::Command(command) => {
            let Command::Controller(arguments) = *command else { panic!("{command:?}") };
            arguments
        }
        Parsed::Answered(outcome) => panic!("{outcome:?}"),
    }
}

fn speaker(flags: &[&str]) -> SpeakerArgs {
    match parsed(&[&["ferrule", "speaker"], flags].concat()) {
        Parsed::Command(command) => {
            let Command::Speaker(arguments) = *command else { panic!("{command:?}") };
            arguments
        }
        Parsed::Answered(outcome) => panic!("{outcome:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn a_label_needs_a_key() {
    assert_eq!(parse_label("zone=a=b"), Ok(("zone".to_owned(), "a=b".to_owned())));
    assert!(parse_label("=a").is_err());
    assert!(parse_label("zone").is_err());
}

// [OWN-34]
#[test]
fn return_is_never_at_once_or_after_seconds() {
    assert_eq!(parse_return("at-once"), Ok(ReturnPolicy::AtOnce));
    assert_eq!(parse_return("90"), Ok(ReturnPolicy::After(Duration::from_secs(90))));
    assert!(parse_return("soon").is_err());
}

#[test]
fn usage_errors_end_with_64() {
    for words in [&["ferrule", "plan", "--nonsense"][..], &["ferrule", "speaker", "-nonsense"]] {
        let answer = parsed(words);
        assert!(matches!(answer, Parsed::Answered(Outcome::Usage)), "{words:?}: {answer:?}");
    }
}

// [CLI-10], [CLI-13], [D162-7]
#[test]
fn bad_values_of_a_role_end_with_1() {
    for flags in [
        &["-log-level=loud"][..],
        &["-port", "65536"],
        &["-port"],
        &["-bgp-debounce-timeout=0"],
        &["-gratuitous-arp-interval=2147483648"],
        &["-tls-curve-preferences=0"],
        &["-ignore-exclude-lb=maybe"],
    ] {
        let answer = parsed(&[&["ferrule", "speaker"], flags].concat());
        assert!(matches!(answer, Parsed::Answered(Outcome::InputBad)), "{flags:?}: {answer:?}");
    }
}

// [CLI-1] to [CLI-20]
#[test]
fn flags_take_one_dash_or_two_and_a_value_after_an_equals_sign_or_a_space() {
    for flags in [
        ["-node-name=-a", "-port", "1"],
        ["--node-name=-a", "--port", "1"],
        ["-node-name", "-a", "-port=1"],
        ["--node-name", "-a", "--port=1"],
    ] {
        let arguments = speaker(&flags);
        assert_eq!((arguments.node_name.as_deref(), arguments.role.port), (Some("-a"), 1), "{flags:?}");
    }
    let arguments =
        speaker(&["-ignore-exclude-lb", "-lb-class", "ours", "-port", "1", "-port", "2", "--ml-wan-config=F"]);
    assert!(arguments.ignore_exclude_lb && !arguments.ml_wan_config);
    assert_eq!((arguments.role.load_balancer_class.as_deref(), arguments.role.port), (Some("ours"), 2));
}

// [CCLI-1]
#[test]
fn defaults_of_the_roles_are_those_of_upstream() {
    let arguments = controller(&[]);
    let role = &arguments.role;
    assert_eq!((role.port, role.health_probe_port, role.log_level), (9120, 17_472, LogLevel::Info));
    assert_eq!(role.tls, TlsArgs::default());
    assert!(!role.metrics_plain_http);
    assert_eq!(arguments.without_effect(), []);
    assert_eq!(speaker(&[]).gratuitous_arp_interval, 0);
}

#[test]
fn the_empty_text_unsets() {
    let arguments = controller(&["-namespace=", "-lb-class", "", "-metrics-cert-dir", ""]);
    assert_eq!(arguments.role.namespace, None);
    assert_eq!(arguments.role.load_balancer_class, None);
    assert_eq!(arguments.role.tls.metrics_cert_dir, None);
}

#[test]
fn lists_are_split_at_commas() {
    let flags = ["-tls-cipher-suites=A,B", "-tls-curve-preferences", "29,23"];
    let tls = controller(&flags).role.tls;
    assert_eq!((tls.cipher_suites, tls.curve_preferences), (vec!["A".to_owned(), "B".to_owned()], vec![29, 23]));
}

// [D162-11]
#[test]
fn flags_without_effect_are_told() {
    let flags = |ineffective: Vec<Ineffective>| ineffective.iter().map(|one| one.flag).collect::<Vec<_>>();
    let speaker = speaker(&["-frrk8s-secret-passthrough", "-bgp-debounce-timeout=500", "-pprof-bind-address=:1"]);
    assert_eq!(
        flags(speaker.without_effect()),
        ["pprof-bind-address", "bgp-debounce-timeout", "frrk8s-secret-passthrough"]
    );
    let controller = controller(&["-webhook-mode=onlywebhook", "-cert-dir=/certs"]);
    assert_eq!(controller.webhook_mode, Some(WebhookMode::Onlywebhook));
    assert_eq!(flags(controller.without_effect()), ["cert-dir", "webhook-mode"]);
}

// [DEPLOY-11]: the entry point of upstream's images.
#[test]
fn a_program_of_a_roles_name_is_the_role() {
    let parsed = parsed(&["/controller", "--port=7", "-log-level", "none"]);
    let Parsed::Command(command) = parsed else { panic!("{parsed:?}") };
    let Command::Controller(arguments) = *command else { panic!("{command:?}") };
    assert_eq!((arguments.role.port, arguments.role.log_level), (7, LogLevel::None));
}
