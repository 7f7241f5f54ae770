//! The table of all states and events, printed and compared with the stored one: the difference is the review.

use std::fmt::Write;

use super::*;

fn print() -> String {
    let mut text = String::new();
    for state in State::ALL {
        for event in Event::ALL {
            let Transition { next, actions } = transition(state, event);
            let actions: Vec<String> = actions.iter().map(|action| format!("{action:?}")).collect();
            let line = format!(
                "{:<11} {:<25} -> {:<11} {}",
                state.name(),
                format!("{event:?}"),
                next.name(),
                actions.join(" ")
            );
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
    }
    text
}

// RFC 4271 section 8.2.2; rewritten with UPDATE_VECTORS=1
#[test]
fn every_state_and_event_has_its_transition() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fsm/table.txt");
    #[expect(clippy::disallowed_methods, reason = "a test keeps its table in a file")]
    if std::env::var("UPDATE_VECTORS").is_ok() {
        std::fs::write(path, print()).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    for (number, (stored, printed)) in stored.lines().zip(print().lines()).enumerate() {
        assert_eq!(stored, printed, "line {}", number + 1);
    }
    assert_eq!(stored, print());
}

// What must be true whatever the table says.
#[test]
fn ends_are_complete() {
    for state in State::ALL {
        for event in Event::ALL {
            let Transition { next, actions } = transition(state, event);
            let has = |action| actions.contains(&action);
            let was_connected = state >= State::OpenSent;
            if was_connected && matches!(next, State::Idle | State::Active) {
                assert!(has(Action::Drop), "{state:?} {event:?}: the connection stays");
            }
            if next == State::Idle && state != State::Idle && event != Event::ManualStop {
                assert!(has(Action::StartIdleHold), "{state:?} {event:?}: nothing begins again");
            }
            if matches!(event, Event::NotifMsg | Event::NotifMsgVerErr | Event::TcpConnectionFails) {
                assert!(!has(Action::SendCause) && !has(Action::SendStateError), "{state:?} {event:?}: answered");
            }
            assert!(next != State::Established || state >= State::OpenConfirm, "{state:?} {event:?}");
        }
    }
}
