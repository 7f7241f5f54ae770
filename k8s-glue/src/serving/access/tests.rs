//! Tests of who may read metrics.

use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

use super::*;

#[derive(Debug, Error)]
#[error("the API server is away")]
pub(crate) struct Away;

/// Knows three tokens, and counts what it is asked.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) asked: AtomicUsize,
}

impl Reviewer for Scripted {
    type Error = Away;

    async fn account(&self, token: &str) -> Result<Option<Account>, Away> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match token {
            "away" => Err(Away),
            "scraper" | "guest" => Ok(Some(Account { name: token.to_owned(), ..Account::default() })),
            _ => Ok(None),
        }
    }

    async fn may(&self, account: &Account, verb: &str) -> Result<bool, Away> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(account.name == "scraper" && verb == "get")
    }
}

fn headers(authorization: Option<&str>) -> HeaderMap {
    authorization.map(|value| (AUTHORIZATION, value.parse().unwrap())).into_iter().collect()
}

// [HTTP-1], [CHTTP-1]
#[tokio::test]
async fn a_token_and_a_permission_are_needed() {
    let access = Access::new(Scripted::default());
    for (authorization, method, expected) in [
        (None, Method::GET, Err(Denial::Unauthenticated)),
        (Some("scraper"), Method::GET, Err(Denial::Unauthenticated)),
        (Some("Basic scraper"), Method::GET, Err(Denial::Unauthenticated)),
        (Some("Bearer "), Method::GET, Err(Denial::Unauthenticated)),
        (Some("Bearer stranger"), Method::GET, Err(Denial::Unauthenticated)),
        (Some("Bearer guest"), Method::GET, Err(Denial::Forbidden)),
        (Some("Bearer scraper"), Method::HEAD, Err(Denial::Forbidden)),
        (Some("Bearer away"), Method::GET, Err(Denial::Review)),
        (Some("bearer scraper"), Method::GET, Ok(())),
    ] {
        assert_eq!(access.check(&headers(authorization), &method).await, expected, "{authorization:?} {method}");
    }
}

// [CHTTP-1]
#[tokio::test]
async fn answers_hold_for_their_time_and_failures_do_not() {
    let access = Access::new(Scripted::default());
    let start = Instant::now();
    let mut before = 0;
    for (token, after, questions) in [
        ("scraper", 0, 2),
        ("scraper", 59, 0),
        ("scraper", 61, 1),
        ("scraper", 299, 1),
        ("scraper", 301, 1),
        ("guest", 400, 2),
        ("guest", 429, 0),
        ("guest", 431, 1),
        ("stranger", 500, 1),
        ("stranger", 559, 0),
        ("stranger", 561, 1),
        ("away", 600, 1),
        ("away", 600, 1),
    ] {
        let _ = access
            .check_at(start + Duration::from_secs(after), &headers(Some(&format!("Bearer {token}"))), &Method::GET)
            .await;
        let asked = access.reviewer.asked.load(Ordering::Relaxed);
        assert_eq!(asked - before, questions, "{token} after {after} s");
        before = asked;
    }
}

#[test]
fn the_memory_has_an_end() {
    let now = Instant::now();
    let mut memory = Memory::new();
    for (key, age) in (0..REMEMBERED + 10).zip(1_u64..) {
        memory.remember(now, key, (), Duration::from_secs(age));
    }
    assert_eq!(memory.answers.len(), REMEMBERED);
    assert_eq!(memory.recall(now, &0), None, "the shortest is forgotten");
    assert_eq!(memory.recall(now, &(REMEMBERED + 9)), Some(()));
}
