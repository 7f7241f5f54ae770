//! Which node announces, and that clients get there.

use lab::cluster::Answer;

use super::rig::{CALM, Checked, FIRST, FIRST_V6, Rig, SHOP, check, wait};

const ALL: [&str; 3] = ["n1", "n2", "n3"];

// [SPK-7], [L2-24], ACC-1
pub(crate) fn one_node_announces(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    check(ALL.contains(&owner.as_str()), format!("{owner} answers"))?;
    let answer = Answer::of(&rig.reach(FIRST)?).ok_or("not a page of a pod")?;
    check(ALL.contains(&answer.node.as_str()), format!("{answer:?}"))?;
    // One that comes later is announced as it comes; the first does not move.
    rig.service("api", "", &["192.168.1.241"], &["n2"])?;
    rig.reach("192.168.1.241")?;
    check(rig.owner(FIRST)? == owner, "it moved without a cause")?;
    // The pool is gone: nobody answers any more.
    rig.cluster.admin().run(&["delete", "l2advertisement", "all", "-n", "metallb-system"])?;
    let look = || rig.answering(FIRST, std::time::Duration::from_millis(600));
    wait("silence", look, std::collections::BTreeSet::is_empty).map(drop)
}

// [OWN-20]
pub(crate) fn both_families_by_one_node(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST, FIRST_V6], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let (owner, other) = (rig.owner(FIRST)?, rig.owner(FIRST_V6)?);
    check(owner == other, format!("{FIRST} by {owner}, {FIRST_V6} by {other}"))?;
    rig.reach(FIRST)?;
    rig.reach(FIRST_V6)?;
    rig.speaker(&owner)?.kill()?;
    let look = || Ok((rig.owner(FIRST)?, rig.owner(FIRST_V6)?));
    wait("one other node for both", look, |(one, two)| one == two && *one != owner).map(drop)
}

// [ANN-24], [L2-1] step 5
pub(crate) fn policy_local(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "externalTrafficPolicy: Local, ", &[FIRST], &["n2"])?;
    rig.start_speakers(&Rig::program())?;
    check(rig.owner(FIRST)? == "n2", "not the node with the endpoint")?;
    rig.reach(FIRST)?;
    rig.service("web", "externalTrafficPolicy: Local, ", &[FIRST], &["n3"])?;
    wait("the node with the endpoint", || rig.owner(FIRST), |owner| owner == "n3")?;
    let answer = Answer::of(&rig.reach(FIRST)?).ok_or("not a page of a pod")?;
    check(answer.node == "n3", format!("{answer:?}"))?;
    // [OWN-24]: no endpoint anywhere, and it is withdrawn.
    rig.service("web", "externalTrafficPolicy: Local, ", &[FIRST], &[])?;
    let look = || rig.answering(FIRST, std::time::Duration::from_millis(600));
    wait("silence", look, std::collections::BTreeSet::is_empty).map(drop)
}

// [ANN-44], [OWN-24]
pub(crate) fn an_excluded_node_hands_over(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    let watch = rig.watch(&[FIRST.parse()?])?;
    let from = lab::Moment::now();
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    rig.label(&owner, &format!("{label}="))?;
    let next = wait("another node", || rig.owner(FIRST), |next| *next != owner)?;
    rig.label(&owner, &format!("{label}-"))?;
    std::thread::sleep(CALM);
    // [OWN-34]: a healthy owner keeps what it has.
    check(rig.owner(FIRST)? == next, "it moved back without need")?;
    watch.nobody_answered_beside(&[])?;
    let gap = watch.gap(FIRST, from)?;
    check(gap.as_millis() < 500, format!("a hand-over that left {gap:?} without an answer"))
}

// [ANN-9]
pub(crate) fn another_class(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "loadBalancerClass: example.org/other, ", &[FIRST], &ALL)?;
    rig.service("ours", "", &["192.168.1.241"], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    rig.owner("192.168.1.241")?;
    let answering = rig.answering(FIRST, CALM)?;
    check(answering.is_empty(), format!("{answering:?} answer for a Service of another class in {SHOP}"))
}
