//! The tree of classes of one worker.

use super::bucket::{Bucket, Verdict};
use super::heap::{Heap, NOWHERE};
use super::{Policy, Resource, TaskId, Usage};

/// A class's number: unique among the classes of an engine, and used again after it is gone.
pub(crate) type ClassId = u32;

/// The parent of a class that has none.
const NOBODY: ClassId = ClassId::MAX;

/// The step of a share of 1; divided by the share it loses 2⁻²¹ at most.
const STRIDE: u64 = 1 << 52;

/// How a child stands to its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// As all others.
    Equal,
    /// Before those with higher numbers.
    Priority(u32),
    /// In proportion; not 0.
    Share(u32),
}

/// A class, with what it has used so far.
#[derive(Debug)]
pub(crate) struct Class {
    usage: Usage,
    parent: ClassId,
    /// Where it stood among its siblings when it was last blocked, or is to stand at first. While it can run, the heap
    /// has the key.
    key: u128,
    /// How fast its virtual time runs.
    stride: u64,
    blocked: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Leaf { task: Option<TaskId>, ready: bool, resting: bool },
    Inner(Inner),
}

#[derive(Debug)]
struct Inner {
    policy: Policy,
    /// The children that can run.
    runnable: Heap,
    /// All children.
    children: usize,
    /// The virtual time, or the number of the last turn.
    served: u128,
    /// Of a rate limit.
    bucket: Option<Bucket>,
    /// Overdrawn until then; [`u64::MAX`] is for ever.
    until: Option<u64>,
}

impl Class {
    /// A class without children.
    pub(crate) fn inner(policy: Policy) -> Self {
        let (bucket, until) = match policy {
            Policy::RateLimit { limit, max_burst, .. } => {
                (Some(Bucket::new(limit, max_burst)), (limit == 0).then_some(u64::MAX))
            }
            _ => (None, None),
        };
        let inner = Inner { policy, runnable: Heap::default(), children: 0, served: 0, bucket, until };
        Self::of(Kind::Inner(inner))
    }

    /// A class for a task that is not known yet.
    pub(crate) fn leaf() -> Self {
        Self::of(Kind::Leaf { task: None, ready: false, resting: false })
    }

    fn of(kind: Kind) -> Self {
        Self { usage: Usage::default(), parent: NOBODY, key: 0, stride: STRIDE, blocked: true, kind }
    }

    #[inline]
    fn is_blocked(&self) -> bool {
        match &self.kind {
            Kind::Leaf { task, ready, resting } => task.is_none() || !ready || *resting,
            Kind::Inner(inner) => inner.runnable.is_empty() || inner.until.is_some(),
        }
    }
}

impl Inner {
    /// Where a child stands that can run from now on.
    fn enter(&mut self, key: u128) -> u128 {
        match self.policy {
            Policy::Priority => key,
            Policy::WeightedFair { .. } => key.max(self.served),
            Policy::RoundRobin => {
                self.served += 1;
                self.served
            }
            Policy::RateLimit { .. } => 0,
        }
    }

    /// Where a child stands after a turn.
    #[inline]
    fn after(&mut self, key: u128, stride: u64, usage: &Usage) -> u128 {
        match self.policy {
            Policy::Priority => key,
            Policy::WeightedFair { resource } => {
                self.served = key;
                key.saturating_add(u128::from(usage.price(resource)) * u128::from(stride))
            }
            Policy::RoundRobin => {
                self.served += 1;
                self.served
            }
            Policy::RateLimit { .. } => 0,
        }
    }

    fn limited(&self) -> Resource {
        match self.policy {
            Policy::RateLimit { resource, .. } | Policy::WeightedFair { resource } => resource,
            Policy::Priority | Policy::RoundRobin => Resource::Count,
        }
    }
}

/// The classes of one worker, by number. Some may have no parent yet.
#[derive(Debug)]
pub(crate) struct Tree {
    root: ClassId,
    classes: Vec<Option<Box<Class>>>,
    /// Where each class stands in its parent's heap.
    places: Vec<u32>,
    /// The overdrawn classes by the time at which they go on.
    timers: Heap,
    timer_places: Vec<u32>,
    limits: usize,
}

impl Tree {
    /// A tree of a root, under which every child has a turn in turn.
    pub(crate) fn new(root: ClassId) -> Self {
        let mut tree = Self {
            root,
            classes: Vec::new(),
            places: Vec::new(),
            timers: Heap::default(),
            timer_places: Vec::new(),
            limits: 0,
        };
        tree.insert(root, Box::new(Class::inner(Policy::RoundRobin)));
        tree
    }

    /// The task whose turn it is. It goes on standing in front until its turn is charged.
    #[inline]
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<TaskId> {
        if self.timers.top().is_some_and(|(until, _)| until <= u128::from(now_ns)) {
            self.release(now_ns);
        }
        let mut id = self.root;
        loop {
            match &self.class(id).kind {
                Kind::Leaf { task, .. } => return *task,
                Kind::Inner(inner) => (_, id) = inner.runnable.top()?,
            }
        }
    }

    /// When the next overdrawn class goes on.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.timers.top().map(|(until, _)| until as u64)
    }

    /// Charges a turn to the task's class and to all above it. `again` says whether the task can run again at once.
    #[inline]
    pub(crate) fn charge(&mut self, leaf: ClassId, usage: &Usage, again: bool, now_ns: u64) {
        let class = self.class_mut(leaf);
        if let Kind::Leaf { ready, .. } = &mut class.kind {
            *ready = again;
        }
        class.usage += *usage;
        let mut blocked = class.is_blocked();
        let (mut was, mut parent, mut stride) = (class.blocked, class.parent, class.stride);
        class.blocked = blocked;
        let mut id = leaf;
        while parent != NOBODY {
            let Self { classes, places, .. } = self;
            let class =
                classes[parent as usize].as_deref_mut().expect("a path leads over classes that exist");
            class.usage += *usage;
            let Kind::Inner(above) = &mut class.kind else { unreachable!("leaves have no children") };
            let mut stays = None;
            if !was {
                let key = above.after(above.runnable.key(id, places), stride, usage);
                if blocked {
                    above.runnable.remove(id, places);
                    stays = Some(key);
                } else {
                    above.runnable.rekey(id, key, places);
                }
            }
            let limited = above.bucket.is_some();
            if let Some(key) = stays {
                self.class_mut(id).key = key;
            }
            if limited {
                self.draw(parent, usage, now_ns);
            }
            id = parent;
            let class = self.class_mut(id);
            blocked = class.is_blocked();
            (was, parent, stride) = (class.blocked, class.parent, class.stride);
            class.blocked = blocked;
        }
    }

    /// Charges a rate limit's bucket, and blocks the class if that was too much.
    fn draw(&mut self, id: ClassId, usage: &Usage, now_ns: u64) {
        let inner = inner(&mut self.classes, id);
        let amount = usage.of(inner.limited());
        let verdict = inner.bucket.as_mut().map_or(Verdict::Pass, |bucket| bucket.charge(amount, now_ns));
        self.obey(id, verdict);
    }

    fn obey(&mut self, id: ClassId, verdict: Verdict) {
        self.stop_timer(id);
        let until = match verdict {
            Verdict::Pass => None,
            Verdict::Wait(until) => Some(until),
            Verdict::Never => Some(u64::MAX),
        };
        inner(&mut self.classes, id).until = until;
        self.start_timer(id);
    }

    fn start_timer(&mut self, id: ClassId) {
        if let Kind::Inner(Inner { until: Some(until), .. }) = self.class(id).kind
            && until < u64::MAX
        {
            self.timers.push(u128::from(until), id, &mut self.timer_places);
        }
    }

    fn stop_timer(&mut self, id: ClassId) {
        if self.timer_places[id as usize] != NOWHERE {
            self.timers.remove(id, &mut self.timer_places);
        }
    }

    /// Lets the overdrawn classes go on whose time has come.
    #[cold]
    fn release(&mut self, now_ns: u64) {
        while let Some((until, id)) = self.timers.top()
            && until <= u128::from(now_ns)
        {
            self.timers.remove(id, &mut self.timer_places);
            inner(&mut self.classes, id).until = None;
            self.refresh(id, now_ns);
        }
    }

    /// Says whether a leaf's task can run.
    pub(crate) fn set_ready(&mut self, leaf: ClassId, is: bool, now_ns: u64) {
        if let Kind::Leaf { ready, .. } = &mut self.class_mut(leaf).kind {
            *ready = is;
        }
        self.refresh(leaf, now_ns);
    }

    /// Says whether a leaf's task must rest, ready or not.
    pub(crate) fn set_resting(&mut self, leaf: ClassId, is: bool, now_ns: u64) {
        if let Kind::Leaf { resting, .. } = &mut self.class_mut(leaf).kind {
            *resting = is;
        }
        self.refresh(leaf, now_ns);
    }

    /// Gives a leaf a task, which is not ready and need not rest, or takes it away.
    pub(crate) fn bind(&mut self, leaf: ClassId, to: Option<TaskId>, now_ns: u64) {
        if let Kind::Leaf { task, ready, resting } = &mut self.class_mut(leaf).kind {
            (*task, *ready, *resting) = (to, false, false);
        }
        self.refresh(leaf, now_ns);
    }

    /// Sees whether a class is blocked now, and if that has changed, whether its ancestors are.
    fn refresh(&mut self, mut id: ClassId, now_ns: u64) {
        loop {
            let class = self.class_mut(id);
            let blocked = class.is_blocked();
            if std::mem::replace(&mut class.blocked, blocked) == blocked || class.parent == NOBODY {
                return;
            }
            let parent = class.parent;
            if blocked {
                self.leave(id, parent);
            } else {
                self.enter(id, parent, now_ns);
            }
            id = parent;
        }
    }

    fn enter(&mut self, id: ClassId, parent: ClassId, now_ns: u64) {
        let key = self.class(id).key;
        let Self { classes, places, .. } = self;
        let above = inner(classes, parent);
        let key = above.enter(key);
        if let Some(bucket) = &mut above.bucket {
            bucket.resume(now_ns);
        }
        above.runnable.push(key, id, places);
    }

    fn leave(&mut self, id: ClassId, parent: ClassId) {
        let Self { classes, places, .. } = self;
        let key = inner(classes, parent).runnable.remove(id, places);
        self.class_mut(id).key = key;
    }

    /// Takes a class in, with whatever children it has, but leaves it without a parent.
    pub(crate) fn insert(&mut self, id: ClassId, class: Box<Class>) {
        let at = id as usize;
        if self.classes.len() <= at {
            self.classes.resize_with(at + 1, || None);
            self.places.resize(at + 1, NOWHERE);
            self.timer_places.resize(at + 1, NOWHERE);
        }
        if matches!(&class.kind, Kind::Inner(inner) if inner.bucket.is_some()) {
            self.limits += 1;
            self.timers.reserve(self.limits);
        }
        self.classes[at] = Some(class);
        self.start_timer(id);
    }

    /// Gives a class away that has no parent.
    pub(crate) fn take(&mut self, id: ClassId) -> Option<Box<Class>> {
        let class = self.classes.get_mut(id as usize)?.take()?;
        debug_assert_eq!(class.parent, NOBODY);
        self.stop_timer(id);
        if matches!(&class.kind, Kind::Inner(inner) if inner.bucket.is_some()) {
            self.limits -= 1;
        }
        Some(class)
    }

    /// Puts a class that has no parent under one.
    pub(crate) fn attach(&mut self, id: ClassId, parent: ClassId, weight: Weight, now_ns: u64) {
        let class = self.class_mut(id);
        class.parent = parent;
        (class.key, class.stride) = match weight {
            Weight::Equal => (0, STRIDE),
            Weight::Priority(priority) => (u128::from(priority), STRIDE),
            Weight::Share(share) => (0, STRIDE / u64::from(share.max(1))),
        };
        let blocked = class.blocked;
        let above = inner(&mut self.classes, parent);
        above.children += 1;
        above.runnable.reserve(above.children);
        if !blocked {
            self.enter(id, parent, now_ns);
            self.refresh(parent, now_ns);
        }
    }

    /// Takes a class from its parent.
    pub(crate) fn detach(&mut self, id: ClassId, now_ns: u64) {
        let class = self.class_mut(id);
        let parent = std::mem::replace(&mut class.parent, NOBODY);
        if parent == NOBODY {
            return;
        }
        let blocked = class.blocked;
        inner(&mut self.classes, parent).children -= 1;
        if !blocked {
            self.leave(id, parent);
            self.refresh(parent, now_ns);
        }
    }

    /// Changes the numbers of a class's policy; the policy itself stays, and the children must be attached anew when a
    /// weighted-fair class shares another resource.
    pub(crate) fn update(&mut self, id: ClassId, policy: Policy, now_ns: u64) {
        let inner = inner(&mut self.classes, id);
        let before = inner.limited();
        inner.policy = policy;
        if let (Policy::RateLimit { resource, limit, max_burst }, Some(bucket)) = (policy, &mut inner.bucket)
        {
            if resource != before {
                // Debts in another unit mean nothing.
                *bucket = Bucket::new(limit, 0);
            }
            let verdict = bucket.change(limit, max_burst, now_ns);
            self.obey(id, verdict);
        }
        self.refresh(id, now_ns);
    }

    /// What a class has used, and whether it is blocked.
    pub(crate) fn look(&self, id: ClassId) -> Option<(Usage, bool)> {
        let class = self.classes.get(id as usize)?.as_deref()?;
        Some((class.usage, class.blocked))
    }

    #[inline]
    fn class(&self, id: ClassId) -> &Class {
        self.classes[id as usize].as_deref().expect("numbers lead to classes")
    }

    #[inline]
    fn class_mut(&mut self, id: ClassId) -> &mut Class {
        self.classes[id as usize].as_deref_mut().expect("numbers lead to classes")
    }
}

/// An inner class, borrowed apart from the rest of the tree.
#[inline]
fn inner(classes: &mut [Option<Box<Class>>], id: ClassId) -> &mut Inner {
    match classes[id as usize].as_deref_mut().map(|class| &mut class.kind) {
        Some(Kind::Inner(inner)) => inner,
        _ => unreachable!("only inner classes have children or limits"),
    }
}
