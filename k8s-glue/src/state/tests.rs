//! The state file read back whole, refused when it is not what was written, and locked.

use proptest::prelude::*;

use super::*;

fn sample() -> State {
    let mut state = State::default();
    for (key, addresses, pool, since) in [
        ("default/web", vec!["192.0.2.10"], "first", 1_700_000_000_000),
        ("shop/api", vec!["192.0.2.11", "2001:db8::11"], "second \"quoted\"", 1_700_000_000_777),
    ] {
        let recorded = RecordedService {
            addresses: addresses.into_iter().map(|address| address.parse().unwrap()).collect(),
            pool: pool.parse().unwrap(),
            since,
        };
        state.services.insert(key.parse().unwrap(), recorded);
    }
    state.holds.push(RecordedHold {
        address: "192.0.2.12".parse().unwrap(),
        service: "shop/gone".parse().unwrap(),
        until: UnixTime::from_secs(1_700_000_000),
        reason: RecordedReason::Retention,
    });
    state.kept.push(RecordedKept {
        address: "192.0.2.10".parse().unwrap(),
        pool: "first".parse().unwrap(),
        service: "default/web".parse().unwrap(),
        pool_labels: Labels::from([("zone".to_owned(), "east".to_owned())]),
    });
    let line = r#"{"at":"2026-01-02T03:04:05Z","address":"192.0.2.10","service":"default/web","event":"granted","why":"choice","cause":"c"}"#;
    state.history = History { dropped: 3, entries: vec![serde_json::from_str(line).unwrap()] };
    state.settings.push(RecordedSetting {
        link: "eth0".to_owned(),
        index: 7,
        setting: LinkSetting::ArpIgnore,
        original: 0,
        written: 1,
    });
    state
}

fn path() -> &'static Path {
    Path::new("state.json")
}

#[test]
fn what_was_saved_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/state.json");
    let (file, empty) = StateFile::open(&path).unwrap();
    assert_eq!(empty, State::default());
    file.save(&sample()).unwrap();
    drop(file);
    assert_eq!(StateFile::open(&path).unwrap().1, sample());
}

// [OWN-60]
#[test]
fn every_truncation_is_refused() {
    let octets = encode(&sample()).unwrap();
    let complete = octets.len() - 1; // the line end may go
    for length in 0..complete {
        let refused = decode(&octets[..length], path());
        assert!(matches!(refused, Err(StateError::Damaged { .. })), "{length} octets: {refused:?}");
    }
    assert_eq!(decode(&octets[..complete], path()).unwrap(), sample());
}

#[test]
fn every_changed_octet_is_refused_or_changes_nothing() {
    let octets = encode(&sample()).unwrap();
    for place in 0..octets.len() {
        for value in [0, b' ', b'"', b'0', b'9', b'}', octets[place] ^ 1, octets[place] ^ 0x80] {
            let mut changed = octets.clone();
            changed[place] = value;
            if let Ok(state) = decode(&changed, path()) {
                assert_eq!(state, sample(), "octet {place} changed to {value}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_refused_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&octets, path()).is_err());
    }

    #[test]
    fn any_cut_and_patch_is_refused_or_read_right(
        start in 0_usize..1_600, length in 0_usize..80, patch in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let octets = encode(&sample()).unwrap();
        let start = start.min(octets.len());
        let end = (start + length).min(octets.len());
        let mut changed = octets[..start].to_vec();
        changed.extend(&patch);
        changed.extend(&octets[end..]);
        if let Ok(state) = decode(&changed, path()) {
            prop_assert_eq!(state, sample());
        }
    }
}

#[test]
fn a_later_version_is_refused_by_name_whatever_else_it_holds() {
    let refused = decode(br#"{"version":3,"zstd":"..","more":[1]}"#, path()).unwrap_err();
    assert!(matches!(refused, StateError::Newer { found: 3, .. }), "{refused}");
    assert!(decode(br#"{"version":0,"sha256":"","state":{}}"#, path()).is_err());
}

// A daemon that is updated finds the addresses of the one before.
#[test]
fn a_file_of_the_first_version_is_read() {
    let body = r#"{"services":{"default/web":{"addresses":["192.0.2.10"],"pool":"first","since":1700000000000}}}"#;
    let file = format!("{{\"version\":1,\"sha256\":\"{}\",\"state\":{body}}}\n", digest(body.as_bytes()));
    let state = decode(file.as_bytes(), path()).unwrap();
    assert_eq!(state.services.len(), 1);
    assert!(state.holds.is_empty() && state.kept.is_empty() && state.history.is_empty());
    let again = decode(&encode(&state).unwrap(), path()).unwrap();
    assert_eq!(again, state);
}

#[test]
fn the_refusal_names_the_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    fs::write(&path, "").unwrap();
    let text = StateFile::open(&path).unwrap_err().to_string();
    assert!(text.contains("state.json") && text.contains("it is empty") && text.contains("backup"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), b"", "the damaged file is left as it is");
}

// A process killed while it wrote leaves a partial temporary file at most.
#[test]
fn a_partial_temporary_file_harms_neither_reading_nor_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (file, _) = StateFile::open(&path).unwrap();
    file.save(&sample()).unwrap();
    drop(file);
    let octets = encode(&State::default()).unwrap();
    for length in [0, 1, octets.len() / 2, octets.len()] {
        fs::write(folder.path().join("state.json.new"), &octets[..length]).unwrap();
        let (file, state) = StateFile::open(&path).unwrap();
        assert_eq!(state, sample());
        file.save(&state).unwrap();
    }
    assert_eq!(StateFile::open(&path).unwrap().1, sample());
}

// [OWN-61]
#[test]
fn a_second_daemon_on_one_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (first, _) = StateFile::open(&path).unwrap();
    let refused = StateFile::open(&path).unwrap_err();
    assert!(
        matches!(refused, StateError::FileInUse { holder: Some(pid), .. } if pid == std::process::id()),
        "{refused}"
    );
    drop(first);
    assert!(StateFile::open(&path).is_ok());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let text = StateFile::open(&file.join("below/state.json")).unwrap_err().to_string();
    assert!(text.starts_with("cannot make the folder"), "{text}");
}

#[test]
fn a_failed_write_keeps_the_old_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (file, _) = StateFile::open(&path).unwrap();
    file.save(&sample()).unwrap();
    fs::create_dir(folder.path().join("state.json.new")).unwrap();
    assert!(file.save(&State::default()).unwrap_err().is_retryable());
    drop(file);
    assert_eq!(StateFile::open(&path).unwrap().1, sample());
}
