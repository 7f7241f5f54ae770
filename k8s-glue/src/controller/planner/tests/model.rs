//! Random sequences of changes against a small API server: writes that fail, are lost or are carried out without an answer, a cache that
//! lags, restarts. No address is ever in two statuses; in the end every status says what is held, and a restart changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// A Service at the API server.
#[derive(Clone, Debug)]
struct Stored {
    uid: u64,
    version: u64,
    created: u64,
    is_balancer: bool,
    request: Option<u8>,
    ingress: Vec<String>,
    pool: Option<String>,
}

#[derive(Clone, Debug)]
enum Change {
    Create {
        name: u8,
        request: Option<u8>,
    },
    Delete {
        name: u8,
    },
    ToggleType {
        name: u8,
    },
    Request {
        name: u8,
        request: Option<u8>,
    },
    Touch {
        name: u8,
    },
    Pools {
        mask: u8,
    },
    /// Shows so many events to the planner.
    Show {
        count: u8,
    },
    /// Ends one of the writes under way.
    End {
        which: u8,
        how: How,
    },
    Wait {
        millis: u16,
    },
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Done,
    Unanswered,
    Lost,
    Refused,
}

fn change() -> impl Strategy<Value = Change> {
    let name = 0_u8..10;
    let request = prop::option::weighted(0.3, 0_u8..8);
    let how =
        prop_oneof![6 => Just(How::Done), 1 => Just(How::Unanswered), 1 => Just(How::Lost), 1 => Just(How::Refused)];
    prop_oneof![
        4 => (name.clone(), request.clone()).prop_map(|(name, request)| Change::Create { name, request }),
        2 => name.clone().prop_map(|name| Change::Delete { name }),
        1 => name.clone().prop_map(|name| Change::ToggleType { name }),
        2 => (name.clone(), request).prop_map(|(name, request)| Change::Request { name, request }),
        1 => name.prop_map(|name| Change::Touch { name }),
        1 => (0_u8..8).prop_map(|mask| Change::Pools { mask }),
        6 => (1_u8..5).prop_map(|count| Change::Show { count }),
        8 => (any::<u8>(), how).prop_map(|(which, how)| Change::End { which, how }),
        2 => (1_u16..3_000).prop_map(|millis| Change::Wait { millis }),
        1 => Just(Change::Restart),
    ]
}

fn pools(mask: u8) -> Vec<Pool> {
    let all = [pool("p", "192.0.2.0/31"), pool("q", "192.0.2.2/31"), pool("r", "192.0.2.4/30")];
    all.into_iter().enumerate().filter(|(index, _)| mask >> index & 1 == 1).map(|(_, pool)| pool).collect()
}

struct Cluster {
    stored: BTreeMap<u8, Stored>,
    events: VecDeque<(u8, Option<Stored>)>,
    clock: u64,
    now: u64,
    mask: u8,
    planner: Planner,
    under_way: Vec<StatusWrite>,
    told: usize,
}

fn name_of(name: u8) -> String {
    format!("s{name}")
}

fn number_of(key: &ServiceKey) -> u8 {
    key.name().trim_start_matches('s').parse().unwrap()
}

fn shown(name: u8, stored: &Stored) -> Option<Arc<SeenService>> {
    if !stored.is_balancer && stored.ingress.is_empty() && stored.pool.is_none() {
        // The view does not keep it.
        return None;
    }
    let service = service(&name_of(name), stored.version, |object| {
        object["metadata"]["uid"] = stored.uid.to_string().into();
        object["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:{:02}Z", stored.created % 60).into();
        if !stored.is_balancer {
            object["spec"]["type"] = "ClusterIP".into();
        }
        if let Some(request) = stored.request {
            object["metadata"]["annotations"]["metallb.io/loadBalancerIPs"] = format!("192.0.2.{request}").into();
        }
        if let Some(pool) = &stored.pool {
            object["metadata"]["annotations"][POOL] = pool.as_str().into();
        }
        let ingress: Vec<Value> = stored.ingress.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
        object["status"]["loadBalancer"]["ingress"] = ingress.into();
    });
    Some(service)
}

impl Cluster {
    fn new() -> Self {
        let mut planner = Planner::new(None);
        planner.handle_pools(pools(7)).unwrap();
        Self {
            stored: BTreeMap::new(),
            events: VecDeque::new(),
            clock: 1,
            now: 1,
            mask: 7,
            planner,
            under_way: Vec::new(),
            told: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A user edits a Service.
    fn edit(&mut self, name: u8, edit: impl FnOnce(&mut Stored)) {
        let version = self.tick();
        if let Some(stored) = self.stored.get_mut(&name) {
            edit(stored);
            stored.version = version;
            self.events.push_back((name, Some(stored.clone())));
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { name, request } => {
                let clock = self.tick();
                if !self.stored.contains_key(name) {
                    let stored = Stored {
                        uid: clock,
                        version: clock,
                        created: clock,
                        is_balancer: true,
                        request: *request,
                        ingress: Vec::new(),
                        pool: None,
                    };
                    self.stored.insert(*name, stored.clone());
                    self.events.push_back((*name, Some(stored)));
                }
            }
            Change::Delete { name } => {
                if self.stored.remove(name).is_some() {
                    self.events.push_back((*name, None));
                }
            }
            Change::ToggleType { name } => self.edit(*name, |stored| {
                stored.is_balancer = !stored.is_balancer;
                // The API server clears the status itself.
                stored.ingress.clear();
            }),
            Change::Request { name, request } => self.edit(*name, |stored| stored.request = *request),
            Change::Touch { name } => self.edit(*name, |_| {}),
            Change::Pools { mask } => {
                self.mask = *mask;
                self.planner.handle_pools(pools(*mask)).unwrap();
            }
            Change::Show { count } => (0..*count).for_each(|_| self.show()),
            Change::End { which, how } => {
                if !self.under_way.is_empty() {
                    let write = self.under_way.remove(usize::from(*which) % self.under_way.len());
                    self.end(&write, *how);
                }
            }
            Change::Wait { millis } => self.now += u64::from(*millis),
            Change::Restart => self.restart(),
        }
        self.poll();
    }

    fn show(&mut self) {
        if let Some((name, stored)) = self.events.pop_front() {
            let seen = stored.and_then(|stored| shown(name, &stored));
            self.planner.handle_service(&key(&name_of(name)), seen.as_ref());
        }
    }

    /// The API server's part of a write.
    fn take(&mut self, write: &StatusWrite) -> Result<Taken, Failing> {
        let name = number_of(&write.key);
        let version = self.tick();
        let Some(stored) = self.stored.get_mut(&name) else { return Err(Failing::Missing) };
        if stored.version.to_string() != write.seen.resource_version() {
            return Err(Failing::Conflict);
        }
        let ingress: Vec<String> = write.desired.addresses().iter().map(ToString::to_string).collect();
        let pool = write.desired.pool().map(ToString::to_string);
        if (&stored.ingress, &stored.pool) == (&ingress, &pool) {
            return Ok(Taken::Unchanged);
        }
        (stored.ingress, stored.pool, stored.version) = (ingress, pool, version);
        self.events.push_back((name, Some(stored.clone())));
        Ok(Taken::Changed)
    }

    fn end(&mut self, write: &StatusWrite, how: How) {
        let outcome = match how {
            How::Done => self.take(write),
            How::Unanswered => self.take(write).and(Err(Failing::Server)),
            How::Lost => Err(Failing::Server),
            How::Refused => Err(Failing::Refused),
        };
        self.planner.handle_written(at(self.now), write, outcome);
    }

    fn restart(&mut self) {
        // What is under way is carried out or not, before the world is read anew.
        for (index, write) in std::mem::take(&mut self.under_way).iter().enumerate() {
            if index % 2 == 0 {
                let _ = self.take(write);
            }
        }
        self.events.clear();
        self.planner = Planner::new(None);
        for (name, stored) in &self.stored {
            if let Some(seen) = shown(*name, stored) {
                self.planner.handle_service(&key(&name_of(*name)), Some(&seen));
            }
        }
        self.planner.handle_pools(pools(self.mask)).unwrap();
    }

    fn poll(&mut self) {
        for _ in 0..1_000 {
            match self.planner.poll_output(at(self.now)) {
                Some(Output::Write(write)) => self.under_way.push(write),
                Some(Output::Tell(_)) => self.told += 1,
                None => return,
            }
        }
        panic!("the planner does not come to an end");
    }

    fn check(&self) {
        let mut named = BTreeSet::new();
        for (name, stored) in &self.stored {
            for ip in &stored.ingress {
                assert!(named.insert(ip), "{ip} of s{name} is in another status too");
            }
        }
        // One that was forgotten meanwhile, as it was no load balancer for a while, may have another on a later version.
        let on = |write: &StatusWrite| {
            (write.key.clone(), write.seen.uid().to_owned(), write.seen.resource_version().to_owned())
        };
        let services: BTreeSet<_> = self.under_way.iter().map(on).collect();
        assert_eq!(services.len(), self.under_way.len(), "one write at a time");
    }

    /// Lets everything come to rest, with nothing failing.
    fn settle(&mut self) {
        for _ in 0..500 {
            self.now += 100_000;
            self.poll();
            while !self.events.is_empty() {
                self.show();
            }
            self.poll();
            if self.under_way.is_empty() && self.events.is_empty() {
                return;
            }
            for write in std::mem::take(&mut self.under_way) {
                self.end(&write, How::Done);
            }
            self.check();
        }
        panic!("it does not come to rest");
    }

    fn check_settled(&self) {
        let mut is_free = false;
        for pool in pools(self.mask) {
            is_free |= self.planner.allocator.usage(&pool.name).is_some_and(|usage| usage.available_ipv4 > 0);
        }
        for (name, stored) in &self.stored {
            let held = self.planner.allocator.allocation_by_key(&key(&name_of(*name)));
            let addresses: Vec<String> =
                held.iter().flat_map(|held| held.addresses.iter()).map(|ip| ip.to_string()).collect();
            assert_eq!(stored.ingress, addresses, "s{name}");
            assert_eq!(stored.pool, held.map(|held| held.pool.to_string()), "s{name}");
            let may_wait = !stored.is_balancer || stored.request.is_some();
            assert!(may_wait || !addresses.is_empty() || !is_free, "s{name} waits though an address is free");
        }
        assert!(self.planner.has_passed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // [CTRL-16], [CTRL-27], [CTRL-28a], [CTRL-61], [CTRL-63], [ARCH-2]
    #[test]
    fn no_address_is_in_two_statuses_and_all_comes_to_rest(changes in prop::collection::vec(change(), 1..120)) {
        let mut cluster = Cluster::new();
        for change in &changes {
            cluster.apply(change);
            cluster.check();
        }
        cluster.settle();
        cluster.check_settled();
        let before = cluster.stored.clone();
        cluster.restart();
        cluster.poll();
        prop_assert!(cluster.under_way.is_empty(), "a restart writes {:?}", cluster.under_way);
        cluster.check_settled();
        prop_assert_eq!(format!("{before:?}"), format!("{:?}", cluster.stored));
    }
}
