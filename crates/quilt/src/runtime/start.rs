//! Starting containers in the order that they ask for: each once what it depends on is ready, and as many at once as can
//! be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::RuntimeError;
use super::error::ContainerFailure;
use super::ready::{self, NotReady};
use super::up::{Progress, Up};

impl Up<'_> {
    /// Starts containers; says which could not be. Those that wait for one of these are not started either.
    pub(super) fn start_in_order(
        &mut self,
        names: BTreeSet<String>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ContainerFailure>, RuntimeError> {
        let total = names.len();
        let mut failures: Vec<ContainerFailure> = Vec::new();
        let mut waits: BTreeMap<String, BTreeSet<String>> =
            names.into_iter().map(|name| (name.clone(), self.depends_on(&name))).collect();
        let (beginning, mut started) = (Instant::now(), BTreeMap::new());
        while !waits.is_empty() {
            self.give_up(&mut waits, &mut failures);
            let awaited: BTreeSet<String> =
                waits.values().flatten().filter(|name| !waits.contains_key(*name)).cloned().collect();
            let mut ready = BTreeSet::new();
            for name in &awaited {
                let since = started.get(name).copied().unwrap_or(beginning);
                match ready::judge(self.deployment, self.wanted, name, since)? {
                    Some(Ok(())) => {
                        ready.insert(name.clone());
                    }
                    Some(Err(not_ready)) => return self.stop_waiting(not_ready, &waits),
                    None => {}
                }
            }
            for on in waits.values_mut() {
                on.retain(|name| !ready.contains(name));
            }
            let now: BTreeSet<String> =
                waits.iter().filter(|(_, on)| on.is_empty()).map(|(name, _)| name.clone()).collect();
            if now.is_empty() {
                if waits.is_empty() {
                    break;
                }
                progress(Progress::Waiting(awaited.difference(&ready).cloned().collect()));
                std::thread::sleep(ready::PAUSE);
                continue;
            }
            let done = total - waits.len();
            failures.extend(self.launch(&now, (done, total), progress)?);
            waits.retain(|name, _| !now.contains(name));
            let moment = Instant::now();
            started.extend(now.into_iter().map(|name| (name, moment)));
        }
        Ok(failures)
    }

    /// Containers that one depends on.
    pub(super) fn depends_on(&self, name: &str) -> BTreeSet<String> {
        let container = self.wanted.container(name);
        let parties = container.into_iter().flat_map(|container| &container.depends_on);
        parties.flat_map(|party| self.wanted.members(party)).map(str::to_owned).collect()
    }

    /// Takes out those that wait for one that could not be started.
    fn give_up(&self, waits: &mut BTreeMap<String, BTreeSet<String>>, failures: &mut Vec<ContainerFailure>) {
        loop {
            let failed = |name: &&String| failures.iter().any(|failure| failure.name == **name);
            let doomed: Vec<(String, String)> = waits
                .iter()
                .filter_map(|(name, on)| Some((name.clone(), on.iter().find(failed)?.clone())))
                .collect();
            if doomed.is_empty() {
                return;
            }
            for (name, on) in doomed {
                waits.remove(&name);
                failures.push(self.failure(&name, format!("it waits for '{on}', which did not start")));
            }
        }
    }

    /// What is to be told when something does not get ready; all that was started stays.
    fn stop_waiting<T>(
        &mut self,
        not_ready: NotReady,
        waits: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<T, RuntimeError> {
        self.write_record()?;
        let waiting: Vec<String> = waits
            .iter()
            .filter(|(_, on)| on.contains(&not_ready.name))
            .map(|(name, _)| name.clone())
            .collect();
        let span_of = |name: &str| {
            self.wanted.container(name).map(|container| container.span.clone()).unwrap_or_default()
        };
        let spans = waiting.iter().map(|name| (name.clone(), span_of(name))).collect();
        Err(RuntimeError::NotReady {
            span: span_of(&not_ready.name),
            waiting: spans,
            not_ready: Box::new(not_ready),
        })
    }
}
