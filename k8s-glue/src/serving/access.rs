//! Who may read metrics ([HTTP-1], [CHTTP-1]): a bearer token that the API server knows, of an account that may `get` the non-resource URL
//! `/metrics`. Answers are remembered: a token for a minute, a yes for five minutes, a no for half a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::cluster::client::{RequestError, within};

/// The URL that an account must be allowed to read.
const PATH: &str = "/metrics";
/// How long the answer about a token holds.
const TOKEN_AGE: Duration = Duration::from_secs(60);
/// How long a yes holds.
const ALLOWED_AGE: Duration = Duration::from_secs(5 * 60);
/// How long a no holds.
const DENIED_AGE: Duration = Duration::from_secs(30);
/// Answers remembered of each kind; when there are more, the one that would hold the least long is forgotten.
const REMEMBERED: usize = 1_024;
/// Questions to the API server at once; made-up tokens must not flood it.
const QUESTIONS: usize = 4;

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No token, or none that is valid: 401.
    Unauthenticated,
    /// The account may not: 403.
    Forbidden,
    /// The API server gave no answer: 500.
    Review,
}

/// An account, as the API server names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account {
    /// Its name.
    pub(crate) name: String,
    /// Its identity over its life.
    pub(crate) uid: String,
    /// The groups it is in.
    pub(crate) groups: Vec<String>,
    /// What else the API server knows of it.
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// Who answers questions about tokens and accounts.
pub(crate) trait Reviewer: Send + Sync + 'static {
    /// Why there is no answer.
    type Error: std::error::Error + 'static;

    /// The account that a token stands for; `None` for a token that is not valid.
    fn account(&self, token: &str) -> impl Future<Output = Result<Option<Account>, Self::Error>> + Send;

    /// Whether an account may use the verb on [`PATH`].
    fn may(&self, account: &Account, verb: &str) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// The API server as reviewer.
#[derive(Clone)]
pub(crate) struct ApiServer {
    client: Client,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiServer")
    }
}

impl ApiServer {
    /// Asks by this client.
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }

    async fn ask<K>(&self, question: &K) -> Result<K, RequestError>
    where
        K: Resource<Scope = kube::core::ClusterResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned
            + Send
            + Sync,
    {
        within(Api::<K>::all(self.client.clone()).create(&PostParams::default(), question)).await
    }
}

impl Reviewer for ApiServer {
    type Error = RequestError;

    async fn account(&self, token: &str) -> Result<Option<Account>, RequestError> {
        let question = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let status = self.ask(&question).await?.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        Ok(user.map(|user| Account {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }))
    }

    async fn may(&self, account: &Account, verb: &str) -> Result<bool, RequestError> {
        let question = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(account.name.clone()),
                uid: Some(account.uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(account.groups.clone()),
                extra: Some(account.extra.clone()),
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(PATH.to_owned()),
                    verb: Some(verb.to_owned()),
                }),
                resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        Ok(self.ask(&question).await?.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

/// Answers with the time until which each holds.
#[derive(Debug)]
struct Memory<K, V> {
    answers: BTreeMap<K, (Instant, V)>,
}

impl<K: Ord + Clone, V: Clone> Memory<K, V> {
    const fn new() -> Self {
        Self { answers: BTreeMap::new() }
    }

    fn recall(&self, now: Instant, key: &K) -> Option<V> {
        self.answers.get(key).filter(|(until, _)| now < *until).map(|(_, answer)| answer.clone())
    }

    fn remember(&mut self, now: Instant, key: K, answer: V, age: Duration) {
        if self.answers.len() >= REMEMBERED && !self.answers.contains_key(&key) {
            self.answers.retain(|_, (until, _)| now < *until);
            if self.answers.len() >= REMEMBERED
                && let Some(first) =
                    self.answers.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone())
            {
                self.answers.remove(&first);
            }
        }
        self.answers.insert(key, (now + age, answer));
    }
}

/// A token, so that none is kept in memory: its SHA-256.
type TokenDigest = [u8; 32];

/// Lets requests through, or says why not.
#[derive(Debug)]
pub(crate) struct Access<R> {
    reviewer: R,
    questions: Semaphore,
    accounts: Mutex<Memory<TokenDigest, Option<Account>>>,
    verdicts: Mutex<Memory<(Account, String), bool>>,
}

impl<R: Reviewer> Access<R> {
    /// Nothing is remembered yet.
    pub(crate) const fn new(reviewer: R) -> Self {
        Self {
            reviewer,
            questions: Semaphore::const_new(QUESTIONS),
            accounts: Mutex::new(Memory::new()),
            verdicts: Mutex::new(Memory::new()),
        }
    }

    /// Whether the sender of these headers may use the method.
    ///
    /// # Errors
    /// [`Denial`].
    pub(crate) async fn check(&self, headers: &HeaderMap, method: &Method) -> Result<(), Denial> {
        self.check_at(Instant::now(), headers, method).await
    }

    async fn check_at(&self, now: Instant, headers: &HeaderMap, method: &Method) -> Result<(), Denial> {
        let token = bearer_token(headers).ok_or(Denial::Unauthenticated)?;
        let account = self.account(now, token).await?.ok_or(Denial::Unauthenticated)?;
        let verb = method.as_str().to_ascii_lowercase();
        if self.may(now, account, verb).await? { Ok(()) } else { Err(Denial::Forbidden) }
    }

    async fn account(&self, now: Instant, token: &str) -> Result<Option<Account>, Denial> {
        let digest: TokenDigest = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).recall(now, &digest) {
            return Ok(known);
        }
        let _turn = self.questions.acquire().await.map_err(|_| Denial::Review)?;
        let account = self.reviewer.account(token).await.map_err(|error| unanswered(&error))?;
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.remember(now, digest, account.clone(), TOKEN_AGE);
        Ok(account)
    }

    async fn may(&self, now: Instant, account: Account, verb: String) -> Result<bool, Denial> {
        let key = (account, verb);
        if let Some(known) = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).recall(now, &key) {
            return Ok(known);
        }
        let _turn = self.questions.acquire().await.map_err(|_| Denial::Review)?;
        let may = self.reviewer.may(&key.0, &key.1).await.map_err(|error| unanswered(&error))?;
        let age = if may { ALLOWED_AGE } else { DENIED_AGE };
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).remember(now, key, may, age);
        Ok(may)
    }
}

fn unanswered(error: &(dyn std::error::Error + 'static)) -> Denial {
    tracing::warn!(op = "metrics", error, "access to metrics could not be reviewed");
    Denial::Review
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

#[cfg(test)]
pub(crate) mod tests;
