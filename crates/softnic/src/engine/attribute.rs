//! Metadata attributes: named values that travel with a packet, and where in its metadata area each lies.
//!
//! A module says which attributes it reads and writes ([`Module::attributes`](super::Module::attributes)). From the
//! graph follows where an attribute is alive: from a module that writes it, along every way that leads to one that
//! reads it, up to whoever writes it anew. Modules joined by such ways form a *scope*; all of a scope use one place
//! in the 128 bytes, and two scopes may share bytes when no module belongs to both (BESS's scope components).
//!
//! Places are dealt out whenever the graph changes, in the same instant as the change. A scope keeps the place that
//! it had if it can, so that packets that wait in a queue still mean what they meant.

use std::collections::{BTreeMap, BTreeSet};

use packet::{METADATA, Packet};

/// The most attributes that one module may declare (as BESS).
pub const ATTRIBUTES_MAX: usize = 16;

/// The longest attribute, in bytes (as BESS).
pub const ATTRIBUTE_SIZE_MAX: u8 = 32;

/// An attribute that a module uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name; modules that use the same name mean the same value.
    pub name: String,
    /// Its length in bytes, 1 to [`ATTRIBUTE_SIZE_MAX`].
    pub size: u8,
    /// What the module does with it.
    pub access: Access,
}

/// What a module does with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Needs its value.
    Read,
    /// Gives it a value without looking at the old one.
    Write,
    /// Needs its value and changes it.
    Update,
}

impl Attribute {
    /// An attribute whose value is needed.
    pub fn read(name: impl Into<String>, size: u8) -> Self {
        Self { name: name.into(), size, access: Access::Read }
    }

    /// An attribute that is given a value.
    pub fn write(name: impl Into<String>, size: u8) -> Self {
        Self { name: name.into(), size, access: Access::Write }
    }

    /// An attribute whose value is needed and changed.
    pub fn update(name: impl Into<String>, size: u8) -> Self {
        Self { name: name.into(), size, access: Access::Update }
    }
}

/// Where an attribute lies for a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// At this offset in the metadata area.
    At(u8),
    /// Nowhere: on some way to the module nobody has written it, so it reads as zero.
    #[default]
    NoRead,
    /// Nowhere: nobody further on reads it, so writing it does nothing.
    NoWrite,
    /// Nowhere: the metadata area is full of attributes that are alive at the same time.
    NoSpace,
}

impl Place {
    /// The value of an attribute of `size` bytes; `None` when it lies nowhere.
    #[inline]
    pub fn get(self, packet: &Packet, size: usize) -> Option<&[u8]> {
        let Self::At(offset) = self else { return None };
        packet.metadata().get(usize::from(offset)..usize::from(offset) + size)
    }

    /// The bytes of an attribute of `size` bytes, to be written; `None` when it lies nowhere.
    #[inline]
    pub fn get_mut(self, packet: &mut Packet, size: usize) -> Option<&mut [u8]> {
        let Self::At(offset) = self else { return None };
        packet.metadata_mut().get_mut(usize::from(offset)..usize::from(offset) + size)
    }

    /// The value of an attribute of `N` bytes, all zero when it lies nowhere.
    #[inline]
    pub fn read<const N: usize>(self, packet: &Packet) -> [u8; N] {
        self.get(packet, N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    /// Sets an attribute of `N` bytes, unless it lies nowhere.
    #[inline]
    pub fn write<const N: usize>(self, packet: &mut Packet, value: [u8; N]) {
        if let Some(bytes) = self.get_mut(packet, N) {
            bytes.copy_from_slice(&value);
        }
    }
}

/// A module as the analysis sees it.
pub(crate) struct View<'a> {
    pub(crate) attributes: &'a [Attribute],
    /// The places it has so far, as many as attributes, or none yet.
    pub(crate) places: &'a [Place],
    /// The modules that its output gates lead to.
    pub(crate) next: Vec<usize>,
}

/// A part of the graph in which one attribute is alive.
struct Scope {
    name: String,
    size: u8,
    modules: BTreeSet<usize>,
    /// Whether its readers can be reached by a way on which nobody has written it.
    unset: bool,
    place: Option<u8>,
}

/// Says where the attributes of each module lie, in the order in which it declares them.
pub(crate) fn assign(modules: &[View<'_>]) -> Vec<Vec<Place>> {
    let before = upstream(modules);
    let names: BTreeSet<&str> = modules
        .iter()
        .flat_map(|module| module.attributes)
        .map(|attribute| attribute.name.as_str())
        .collect();
    let mut scopes: Vec<Scope> = names.into_iter().flat_map(|name| scopes(modules, &before, name)).collect();
    keep(modules, &mut scopes);
    for at in 0..scopes.len() {
        if !scopes[at].unset && scopes[at].place.is_none() {
            scopes[at].place = free(&scopes, at);
        }
    }
    let mut of: BTreeMap<(usize, &str), &Scope> = BTreeMap::new();
    for scope in &scopes {
        of.extend(scope.modules.iter().map(|&module| ((module, scope.name.as_str()), scope)));
    }
    let place = |module: usize, attribute: &Attribute| {
        let nowhere = if attribute.access == Access::Write { Place::NoWrite } else { Place::NoRead };
        match of.get(&(module, attribute.name.as_str())) {
            Some(scope) if !scope.unset => scope.place.map_or(Place::NoSpace, Place::At),
            _ => nowhere,
        }
    };
    let places = |(at, module): (usize, &View<'_>)| {
        module.attributes.iter().map(|attribute| place(at, attribute)).collect()
    };
    modules.iter().enumerate().map(places).collect()
}

fn upstream(modules: &[View<'_>]) -> Vec<Vec<usize>> {
    let mut before = vec![Vec::new(); modules.len()];
    for (at, module) in modules.iter().enumerate() {
        for &next in &module.next {
            before[next].push(at);
        }
    }
    before
}

fn access(module: &View<'_>, name: &str) -> Option<Access> {
    module.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.access)
}

/// The scopes of one attribute. A module that only writes it ends the scope before it and begins the one after it.
fn scopes(modules: &[View<'_>], before: &[Vec<usize>], name: &str) -> Vec<Scope> {
    let wanted = reach(modules, before, name);
    let mut group: Vec<Option<usize>> = vec![None; modules.len()];
    let mut found = Vec::new();
    for start in 0..modules.len() {
        // Every scope has a reader, and what flows into a reader is in its scope.
        if group[start].is_some()
            || !matches!(access(&modules[start], name), Some(Access::Read | Access::Update))
        {
            continue;
        }
        found.push(scope(modules, before, name, &wanted, start, &mut group, found.len()));
    }
    found
}

/// Whether packets that leave or pass a module, with the value that the attribute then has, can come to a reader.
fn reach(modules: &[View<'_>], before: &[Vec<usize>], name: &str) -> Vec<bool> {
    let mut wanted = vec![false; modules.len()];
    let reads = |at: usize| matches!(access(&modules[at], name), Some(Access::Read | Access::Update));
    let mut stack: Vec<usize> = (0..modules.len()).filter(|&at| reads(at)).collect();
    while let Some(at) = stack.pop() {
        for &from in &before[at] {
            if !wanted[from] {
                wanted[from] = true;
                if access(&modules[from], name) != Some(Access::Write) {
                    stack.push(from);
                }
            }
        }
    }
    wanted
}

fn scope(
    modules: &[View<'_>],
    before: &[Vec<usize>],
    name: &str,
    wanted: &[bool],
    start: usize,
    group: &mut [Option<usize>],
    number: usize,
) -> Scope {
    let mut scope =
        Scope { name: name.to_owned(), size: 0, modules: BTreeSet::new(), unset: false, place: None };
    let mut stack = vec![start];
    while let Some(at) = stack.pop() {
        if !scope.modules.insert(at) {
            continue;
        }
        let module = &modules[at];
        let attribute = module.attributes.iter().find(|attribute| attribute.name == name);
        scope.size = scope.size.max(attribute.map_or(0, |attribute| attribute.size));
        let writes = attribute.is_some_and(|attribute| attribute.access == Access::Write);
        if !writes {
            group[at] = Some(number);
            scope.unset |= before[at].is_empty();
            stack.extend(&before[at]);
        }
        if writes || wanted[at] {
            let reads =
                |next: usize| matches!(access(&modules[next], name), Some(Access::Read | Access::Update));
            let passes = |next: usize| access(&modules[next], name).is_none() && wanted[next];
            stack.extend(module.next.iter().copied().filter(|&next| reads(next) || passes(next)));
        }
    }
    scope
}

/// Lets scopes stay where all of their modules have had them, as far as that is still possible.
fn keep(modules: &[View<'_>], scopes: &mut [Scope]) {
    for at in 0..scopes.len() {
        let scope = &scopes[at];
        let mut had = scope.modules.iter().filter_map(|&module| {
            let View { attributes, places, .. } = &modules[module];
            let index = attributes.iter().position(|attribute| attribute.name == scope.name)?;
            places.get(index).copied()
        });
        let Some(Place::At(offset)) = had.next() else { continue };
        let same = had.all(|place| place == Place::At(offset));
        let fits = usize::from(offset) + usize::from(scope.size) <= METADATA;
        if !scope.unset
            && same
            && fits
            && !taken(scopes, at).any(|other| overlap(other, (offset, scope.size)))
        {
            scopes[at].place = Some(offset);
        }
    }
}

/// The lowest place for a scope that is free in all of its modules, aligned to its size rounded up to a power of 2.
fn free(scopes: &[Scope], at: usize) -> Option<u8> {
    let size = scopes[at].size;
    let step = usize::from(size).next_power_of_two();
    (0..=METADATA - usize::from(size))
        .step_by(step)
        .map(|offset| offset as u8)
        .find(|&offset| !taken(scopes, at).any(|other| overlap(other, (offset, size))))
}

/// The places of scopes that have a module in common with this one.
fn taken(scopes: &[Scope], at: usize) -> impl Iterator<Item = (u8, u8)> {
    let mine = &scopes[at].modules;
    let others = scopes.iter().enumerate().filter(move |&(other, _)| other != at);
    others.filter_map(move |(_, scope)| {
        let place = scope.place?;
        (!mine.is_disjoint(&scope.modules)).then_some((place, scope.size))
    })
}

fn overlap(a: (u8, u8), b: (u8, u8)) -> bool {
    a.0 < b.0 + b.1 && b.0 < a.0 + a.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(graph: &[(&[Attribute], &[usize])]) -> Vec<Vec<Place>> {
        let views: Vec<View<'_>> = graph
            .iter()
            .map(|&(attributes, next)| View { attributes, places: &[], next: next.to_vec() })
            .collect();
        assign(&views)
    }

    fn w(name: &str) -> Attribute {
        Attribute::write(name, 2)
    }

    fn r(name: &str) -> Attribute {
        Attribute::read(name, 2)
    }

    #[test]
    fn a_writer_and_its_reader_share_a_place() {
        assert_eq!(places(&[(&[w("a")], &[1]), (&[r("a")], &[])]), [[Place::At(0)], [Place::At(0)]]);
        assert_eq!(places(&[(&[r("a")], &[1]), (&[w("a")], &[])]), [[Place::NoRead], [Place::NoWrite]]);
    }

    #[test]
    fn writers_of_a_common_reader_agree_along_the_whole_row() {
        let (write, read) = ([w("foo")], [r("foo")]);
        let found = places(&[
            (&write, &[3, 4]),
            (&write, &[4, 5]),
            (&write, &[5, 6]),
            (&read, &[]),
            (&read, &[]),
            (&read, &[]),
            (&read, &[]),
        ]);
        assert!(found.iter().all(|places| places == &[Place::At(0)]), "{found:?}");
    }

    #[test]
    fn a_reader_that_is_reached_unset_reads_nothing() {
        let found = places(&[(&[w("foo")], &[2]), (&[w("bar")], &[2]), (&[r("bar")], &[])]);
        assert_eq!(found, [[Place::NoWrite], [Place::NoWrite], [Place::NoRead]]);
    }

    #[test]
    fn a_loop_ends() {
        let found = places(&[(&[w("foo")], &[1]), (&[r("foo")], &[2]), (&[r("foo")], &[0])]);
        assert_eq!(found, [[Place::At(0)]; 3]);
    }

    #[test]
    fn too_much_at_once_has_no_space() {
        let many: Vec<Attribute> = (0..5).map(|n| Attribute::write(format!("a{n}"), 32)).collect();
        let reads: Vec<Attribute> = (0..5).map(|n| Attribute::read(format!("a{n}"), 32)).collect();
        let found = places(&[(&many, &[1]), (&reads, &[])]);
        let wanted = [Place::At(0), Place::At(32), Place::At(64), Place::At(96), Place::NoSpace];
        assert_eq!(found, [wanted, wanted]);
    }

    #[test]
    fn a_place_is_kept_when_the_graph_grows() {
        let (write, read) = ([w("b")], [r("b")]);
        let both = [w("a"), r("b")];
        let view = |attributes, places, next: &[usize]| View { attributes, places, next: next.to_vec() };
        let old = [Place::At(8)];
        let found =
            assign(&[view(&write[..], &old[..], &[1]), view(&both, &[], &[2]), view(&read, &old, &[])]);
        assert_eq!((found[0][0], found[1][1], found[2][0]), (Place::At(8), Place::At(8), Place::At(8)));
    }

    fn graphs() -> impl Strategy<Value = Vec<(Vec<Attribute>, Vec<usize>)>> {
        let attribute = (0..4usize, 1..=8u8, 0..3u8).prop_map(|(name, size, access)| {
            let name = ["a", "b", "c", "d"][name].to_owned();
            let access = [Access::Read, Access::Write, Access::Update][usize::from(access)];
            Attribute { name, size, access }
        });
        let module = (
            prop::collection::vec(attribute, 0..3),
            prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        );
        prop::collection::vec(module, 1..10).prop_map(|modules| {
            let count = modules.len();
            let lead = |(mut attributes, next): (Vec<Attribute>, Vec<prop::sample::Index>)| {
                attributes.sort_by(|a, b| a.name.cmp(&b.name));
                attributes.dedup_by(|a, b| a.name == b.name);
                (attributes, next.iter().map(|next| next.index(count)).collect())
            };
            modules.into_iter().map(lead).collect()
        })
    }

    /// What a packet that walks the graph finds: each value it reads is the one that was last written, whole.
    fn walk(graph: &[(Vec<Attribute>, Vec<usize>)], places: &[Vec<Place>], turns: &[prop::sample::Index]) {
        let mut written: BTreeMap<&str, u8> = BTreeMap::new();
        let mut bytes = [0u8; METADATA];
        let mut at = turns[0].index(graph.len());
        for (mark, turn) in turns.iter().enumerate() {
            let (attributes, next) = &graph[at];
            for (attribute, place) in attributes.iter().zip(&places[at]) {
                let Place::At(offset) = *place else { continue };
                let range = usize::from(offset)..usize::from(offset + attribute.size);
                if attribute.access != Access::Write {
                    let value = written.get(attribute.name.as_str());
                    if let Some(value) = value {
                        assert!(
                            bytes[range.clone()].iter().all(|byte| byte == value),
                            "{graph:?} {places:?}"
                        );
                    }
                }
            }
            for (attribute, place) in attributes.iter().zip(&places[at]) {
                let Place::At(offset) = *place else { continue };
                if attribute.access != Access::Read {
                    bytes[usize::from(offset)..usize::from(offset + attribute.size)].fill(mark as u8);
                    written.insert(&attribute.name, mark as u8);
                }
            }
            let Some(&to) = next.get(turn.index(next.len().max(1))) else { return };
            at = to;
        }
    }

    proptest! {
        #[test]
        fn nobody_overwrites_what_another_will_read(
            mut graph in graphs(),
            walks in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..20), 1..10),
        ) {
            // One size for each name, or a reader may want more bytes than a writer gives.
            for (attributes, _) in &mut graph {
                for attribute in attributes {
                    attribute.size = [1, 2, 4, 8][usize::from(attribute.name.as_bytes()[0] - b'a')];
                }
            }
            let views: Vec<View<'_>> = graph
                .iter()
                .map(|(attributes, next)| View { attributes, places: &[], next: next.clone() })
                .collect();
            let places = assign(&views);
            for turns in &walks {
                walk(&graph, &places, turns);
            }
        }
    }
}
