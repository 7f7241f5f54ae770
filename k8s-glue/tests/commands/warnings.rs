//! What every command that reads objects says beside its result: warnings about the input, on standard error.

use std::io::Write;
use std::process::{Command, Stdio};

use super::against::now;
use super::{ferrule, stdout, write_file};

const TYPO: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: public, labels: {zone: east}}\nspec: {addresses: \
                    [192.0.2.0/28], autoAsign: false}\n";

#[test]
fn a_plan_tells_what_is_odd_about_its_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let told = |arguments: &[&str]| {
        let output = ferrule(&[&["plan"], arguments].concat());
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8_lossy(&output.stderr).replace(folder.path().to_str().unwrap_or_default(), "")
    };
    let (typo, before) = (write_file(&folder, "typo.yaml", TYPO), write_file(&folder, "now.yaml", &now()));
    let expected = "/typo.yaml:4: warning: IPAddressPool metallb-system/public: spec.autoAsign: ";
    for warned in [told(&["-f", &typo]), told(&["-f", &typo, "-o", "json"]), told(&["-f", &typo, "--against", &before])]
    {
        assert!(warned.starts_with(expected) && warned.lines().count() == 1, "{warned}");
    }
    // What the state of now has as well is nothing that the new input brings.
    let both = write_file(&folder, "both.yaml", &now().replace("[192.0.2.0/28]", "[192.0.2.0/28], autoAsign: true"));
    assert_eq!(told(&["-f", &typo, "--against", &both]), "");
    let elsewhere =
        write_file(&folder, "elsewhere.yaml", &TYPO.replace("name: public,", "name: public, namespace: apps,"));
    let warned = told(&["-f", &elsewhere]);
    assert!(warned.contains("IPAddressPool apps/public: "), "{warned}");
}

#[test]
fn one_stream_is_not_both_sides() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferrule"))
        .args(["plan", "-f", "-", "--against", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is built before its tests");
    // It may end before it reads anything.
    let _ = child.stdin.take().map(|mut input| input.write_all(now().as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot both read standard input"));
}

#[test]
fn a_subject_that_is_none_is_a_wrong_command_line() {
    let output = ferrule(&["explain", "a/b/c", "-f", "nothing.yaml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("write NAMESPACE/NAME"));
}

const PEERS: &str = "---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: red}\nspec: {myASN: 64500, peerASN: 64501, \
                     peerAddress: 198.51.100.7, vrf: red}\n---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: link}\nspec: \
                     {myASN: 64500, peerASN: 64501, interface: eth0}\n";

// [PEER-15], [PEER-28]
#[test]
fn peers_without_a_session_hear_nothing_and_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "now.yaml", &(now() + PEERS));
    let planned = ferrule(&["plan", "-f", &file]);
    let warned = String::from_utf8_lossy(&planned.stderr).into_owned();
    assert!(warned.contains("BGPPeer metallb-system/red: spec.vrf: not started: "), "{warned}");
    let explained = stdout(&ferrule(&["explain", "shop/web", "-f", &file]));
    let (answer, rest) = explained.split_once('\n').expect("lines");
    assert!(answer.contains(" by BGP to tor") && !answer.contains("red") && !answer.contains("link"), "{answer}");
    for expected in [
        "  refused PEER-28     BGPPeer red: it hears nothing: not started: the field vrf is not supported yet\n",
        "  refused PEER-15     BGPPeer link: it hears nothing: not started: the field interface",
        "mend: reach the peer through the default VRF\n",
        "now.yaml:",
    ] {
        assert!(rest.contains(expected), "{expected} in {rest}");
    }
}
