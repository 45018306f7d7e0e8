//! Groups (OpenFlow 1.3.5, sections 5.6 and 6.7).

use std::collections::BTreeMap;
use std::time::Duration;

use super::ports::{Count, PortState, Ports, since};
use crate::action::Action;
use crate::error::{BadAction, Fault, GroupModFailed};
use crate::group::{ALL, ANY, Bucket, GroupDescription, GroupFeatures, GroupKind, GroupMod, GroupStats, MAX};
use crate::port::PortNo;

/// Most groups.
pub const GROUPS_MAX: usize = 65_536;
/// Most buckets of a group.
pub const BUCKETS_MAX: usize = 1024;
/// Most groups one leads to, one behind the other.
pub const CHAIN_MAX: usize = 16;

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: GroupKind,
    pub(super) buckets: Vec<Bucket>,
    pub(super) added: Duration,
    pub(super) count: Count,
    pub(super) bucket_counts: Vec<Count>,
}

/// Groups that a list of actions leads to.
pub(super) fn led_to(actions: &[Action]) -> impl Iterator<Item = u32> + '_ {
    actions.iter().filter_map(|action| match action {
        Action::Group(group) => Some(*group),
        _ => None,
    })
}

/// All groups, by number.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<u32, Group>,
}

impl Groups {
    pub(super) fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(&number)
    }

    pub(super) fn is_live(&self, bucket: &Bucket, ports: &Ports) -> bool {
        self.is_live_within(bucket, ports, CHAIN_MAX)
    }

    /// 1.3.5, section 5.6.1 and 7.3.4.3: a bucket is live when the port or group it watches is; one that watches
    /// nothing is, outside of fast failover, for it cannot be said to be dead.
    fn is_live_within(&self, bucket: &Bucket, ports: &Ports, depth: usize) -> bool {
        let watches_port = !matches!(bucket.watch_port, PortNo::ANY | PortNo(0));
        let watches_group = bucket.watch_group != ANY && (bucket.watch_group != 0 || !watches_port);
        let port = watches_port && ports.get(bucket.watch_port.0).is_some_and(PortState::is_up);
        let group = watches_group
            && depth > 0
            && self.get(bucket.watch_group).is_some_and(|group| {
                group.buckets.iter().any(|inner| self.is_live_within(inner, ports, depth - 1))
            });
        port || group || (!watches_port && !watches_group)
    }

    /// Checks the buckets of a group to be.
    fn check(&self, request: &GroupMod, ports: &Ports) -> Result<(), Fault> {
        if request.group > MAX {
            return Err(GroupModFailed::InvalidGroup.into());
        }
        match request.kind {
            GroupKind::Other(_) => return Err(GroupModFailed::BadType.into()),
            GroupKind::Indirect if request.buckets.len() != 1 => {
                return Err(GroupModFailed::InvalidGroup.into());
            }
            _ => {}
        }
        if request.buckets.len() > BUCKETS_MAX {
            return Err(GroupModFailed::OutOfBuckets.into());
        }
        for bucket in &request.buckets {
            let watches_port = !matches!(bucket.watch_port, PortNo::ANY | PortNo(0));
            let watches = watches_port || bucket.watch_group != ANY;
            if request.kind == GroupKind::FastFailover && !watches {
                return Err(GroupModFailed::InvalidGroup.into());
            }
            if watches_port && ports.get(bucket.watch_port.0).is_none() {
                return Err(GroupModFailed::BadWatch.into());
            }
            let group = bucket.watch_group;
            if group != ANY
                && group != request.group
                && self.get(group).is_none()
                && !(group == 0 && watches_port)
            {
                return Err(GroupModFailed::BadWatch.into());
            }
            if led_to(&bucket.actions).any(|group| group != request.group && self.get(group).is_none()) {
                return Err(BadAction::BadOutGroup.into());
            }
        }
        self.check_chain(request)
    }

    /// No group may lead, or watch, back to itself, nor through too many others.
    fn check_chain(&self, request: &GroupMod) -> Result<(), Fault> {
        let followers = |bucket: &Bucket| {
            let watched =
                (bucket.watch_group != ANY && bucket.watch_port == PortNo::ANY).then_some(bucket.watch_group);
            led_to(&bucket.actions).chain(watched).collect::<Vec<_>>()
        };
        let mut level: Vec<u32> = request.buckets.iter().flat_map(followers).collect();
        for _ in 0..CHAIN_MAX {
            level.sort_unstable();
            level.dedup();
            if level.contains(&request.group) {
                return Err(GroupModFailed::Loop.into());
            }
            if level.is_empty() {
                return Ok(());
            }
            let groups = level.iter().filter_map(|number| self.get(*number));
            level = groups.flat_map(|group| group.buckets.iter().flat_map(followers)).collect();
        }
        Err(GroupModFailed::ChainingUnsupported.into())
    }

    /// `OFPGC_ADD`.
    pub(super) fn add(&mut self, now: Duration, request: &GroupMod, ports: &Ports) -> Result<(), Fault> {
        self.check(request, ports)?;
        if self.groups.contains_key(&request.group) {
            return Err(GroupModFailed::GroupExists.into());
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(GroupModFailed::OutOfGroups.into());
        }
        self.groups.insert(request.group, Group::new(now, request));
        Ok(())
    }

    /// `OFPGC_MODIFY`: another kind and other buckets, and counters that start anew.
    pub(super) fn modify(&mut self, request: &GroupMod, ports: &Ports) -> Result<(), Fault> {
        if request.group <= MAX && !self.groups.contains_key(&request.group) {
            return Err(GroupModFailed::UnknownGroup.into());
        }
        self.check(request, ports)?;
        let depth_is_kept = self.groups.iter().any(|(_, group)| {
            group.buckets.iter().any(|bucket| led_to(&bucket.actions).any(|led| led == request.group))
        });
        if let Some(group) = self.groups.get_mut(&request.group) {
            let old = std::mem::replace(group, Group::new(group.added, request));
            // Others lead here: their chains may have become too long.
            if depth_is_kept && self.longest_chain() > CHAIN_MAX {
                self.groups.insert(request.group, old);
                return Err(GroupModFailed::ChainingUnsupported.into());
            }
        }
        Ok(())
    }

    /// Groups one behind the other at most: a group without others behind it is 1. There is no loop.
    fn longest_chain(&self) -> usize {
        let mut depth: BTreeMap<u32, usize> = self.groups.keys().map(|&number| (number, 1)).collect();
        // Each round finds chains of one group more.
        for round in 1..=CHAIN_MAX {
            let mut grew = false;
            for (number, group) in &self.groups {
                let behind = group.buckets.iter().flat_map(|bucket| led_to(&bucket.actions));
                let longest = behind.filter_map(|led| depth.get(&led)).max().copied().unwrap_or(0) + 1;
                grew |= longest > depth[number];
                depth.insert(*number, longest.min(CHAIN_MAX + 1));
            }
            if !grew {
                break;
            }
            if round == CHAIN_MAX {
                return CHAIN_MAX + 1;
            }
        }
        depth.into_values().max().unwrap_or(0)
    }

    /// `OFPGC_DELETE`: the numbers that are gone.
    pub(super) fn delete(&mut self, number: u32) -> Result<Vec<u32>, Fault> {
        if number == ALL {
            return Ok(std::mem::take(&mut self.groups).into_keys().collect());
        }
        if number > MAX {
            return Err(GroupModFailed::InvalidGroup.into());
        }
        let leads_here = |group: &Group| {
            group.buckets.iter().any(|bucket| led_to(&bucket.actions).any(|led| led == number))
        };
        if self.groups.contains_key(&number) && self.groups.values().any(leads_here) {
            return Err(GroupModFailed::ChainedGroup.into());
        }
        Ok(self.groups.remove(&number).map(|_| number).into_iter().collect())
    }

    pub(super) fn descriptions(&self) -> Vec<GroupDescription> {
        let one = |(&group, state): (&u32, &Group)| GroupDescription {
            kind: state.kind,
            group,
            buckets: state.buckets.clone(),
        };
        self.groups.iter().map(one).collect()
    }

    /// Counters of one, or of all; `references` counts flow entries that lead to a group.
    pub(super) fn stats(
        &self,
        now: Duration,
        number: u32,
        references: &BTreeMap<u32, u32>,
    ) -> Vec<GroupStats> {
        let mut total = references.clone();
        for group in self.groups.values() {
            for led in group.buckets.iter().flat_map(|bucket| led_to(&bucket.actions)) {
                *total.entry(led).or_default() += 1;
            }
        }
        let one = |(&group, state): (&u32, &Group)| GroupStats {
            group,
            references: total.get(&group).copied().unwrap_or(0),
            packets: state.count.get().0,
            bytes: state.count.get().1,
            duration: since(now, state.added),
            buckets: state.bucket_counts.iter().map(Count::get).collect(),
        };
        self.groups.iter().filter(|(group, _)| number == ALL || **group == number).map(one).collect()
    }

    /// All kinds, with weights and liveness, chained and checked for loops.
    pub(super) const fn features(actions: u32) -> GroupFeatures {
        GroupFeatures {
            types: 0b1111,
            capabilities: 0b1111,
            max_groups: [GROUPS_MAX as u32; 4],
            actions: [actions; 4],
        }
    }
}

impl Group {
    fn new(now: Duration, request: &GroupMod) -> Self {
        Self {
            kind: request.kind,
            buckets: request.buckets.clone(),
            added: now,
            count: Count::default(),
            bucket_counts: request.buckets.iter().map(|_| Count::default()).collect(),
        }
    }

    /// The bucket of a select group for a flow: highest random weight (Thaler and Ravishankar, 1998), weighted so that
    /// each gets exactly its share, and only the flows of a bucket that died move.
    pub(super) fn select(&self, flow: u64, is_live: impl Fn(&Bucket) -> bool) -> Option<usize> {
        let score = |at: usize, weight: u16| {
            let unit = (mix(flow, at as u64) >> 11) as f64 / (1_u64 << 53) as f64;
            -f64::from(weight) / unit.max(f64::MIN_POSITIVE).ln()
        };
        let candidates =
            self.buckets.iter().enumerate().filter(|(_, bucket)| bucket.weight > 0 && is_live(bucket));
        candidates
            .map(|(at, bucket)| (at, score(at, bucket.weight)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(at, _)| at)
    }
}

/// SplitMix64's finaliser over a flow's hash and a bucket's place.
const fn mix(flow: u64, salt: u64) -> u64 {
    let mut z = flow ^ salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
