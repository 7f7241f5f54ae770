//! What a watch tells of what its stream says.

use kube::core::Status;
use kube::runtime::watcher::Error;

use super::*;

const KIND: Kind = Kind::IpAddressPool;

fn object() -> DynamicObject {
    DynamicObject::new("p", &KIND.resource())
}

fn handle(progress: &mut Progress, event: Result<Event<DynamicObject>, Error>) -> (Vec<Seen>, Duration) {
    progress.handle(KIND, event, &KIND.resource())
}

fn status(code: u16) -> Box<Status> {
    Status::failure("no", "No").with_code(code).boxed()
}

fn refused() -> Error {
    Error::InitialListFailed(kube::Error::Api(status(403)))
}

// [ARCH-10]: the stream says `Init` before each list, also before one that is refused again.
#[test]
fn the_beginning_of_a_list_is_no_success() {
    let mut progress = Progress::default();
    let mut waited = Duration::ZERO;
    for _ in 0..8 {
        assert_eq!(handle(&mut progress, Ok(Event::Init)), (vec![Seen::Began(KIND)], Duration::ZERO));
        waited = handle(&mut progress, Err(refused())).1;
    }
    assert_eq!(waited, Duration::from_secs(5));
    let text = "cannot be listed: no (403)".to_owned();
    let (seen, _) = handle(&mut progress, Err(refused()));
    assert_eq!(seen, [Seen::Trouble(KIND, Trouble { text, is_refused: true, absence: Some(Absence::Forbidden) })]);
}

#[test]
fn a_forgotten_place_is_no_trouble_and_costs_no_time() {
    let mut progress = Progress { is_listed: true, ..Progress::default() };
    assert_eq!(handle(&mut progress, Err(Error::WatchError(status(410)))), (Vec::new(), Duration::ZERO));
    let (seen, delay) = handle(&mut progress, Err(Error::WatchError(status(410))));
    assert!(matches!(seen.as_slice(), [Seen::Trouble(..)]) && !delay.is_zero(), "not again and again");
}

#[test]
fn what_is_heard_after_trouble_ends_it() {
    let mut progress = Progress { is_listed: true, ..Progress::default() };
    handle(&mut progress, Err(Error::WatchError(status(500))));
    let (seen, _) = handle(&mut progress, Ok(Event::Apply(object())));
    assert!(matches!(seen.as_slice(), [Seen::Complete(_), Seen::Object(..)]), "{seen:?}");
    let (seen, _) = handle(&mut progress, Ok(Event::Apply(object())));
    assert!(matches!(seen.as_slice(), [Seen::Object(..)]), "{seen:?}");
}
