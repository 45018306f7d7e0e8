//! Packets that wait in several rows, in memory that is reserved at the start.

use packet::Packet;

/// The number of no place.
pub(super) const NONE: u32 = u32::MAX;

/// So many places for packets, each with the number of the next one in its row.
pub(super) struct Store {
    places: Vec<(Option<Packet>, u32)>,
    /// The first free place; free places are a row as well.
    free: u32,
    held: usize,
}

impl Store {
    pub(super) fn new(most: usize) -> Self {
        let most = most as u32;
        let places = (0..most).map(|at| (None, if at + 1 < most { at + 1 } else { NONE }));
        Self { places: places.collect(), free: if most == 0 { NONE } else { 0 }, held: 0 }
    }

    /// How many packets wait.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Keeps a packet, which nothing follows, or gives it back.
    pub(super) fn put(&mut self, packet: Packet) -> Result<u32, Packet> {
        let at = self.free;
        let Some(place) = self.places.get_mut(at as usize) else { return Err(packet) };
        self.free = std::mem::replace(&mut place.1, NONE);
        place.0 = Some(packet);
        self.held += 1;
        Ok(at)
    }

    /// Takes a packet out, and says which follows it.
    pub(super) fn take(&mut self, at: u32) -> Option<(Packet, u32)> {
        let place = self.places.get_mut(at as usize)?;
        let packet = place.0.take()?;
        let next = std::mem::replace(&mut place.1, self.free);
        self.free = at;
        self.held -= 1;
        Some((packet, next))
    }

    /// Lets a packet follow another one.
    pub(super) fn link(&mut self, at: u32, next: u32) {
        if let Some(place) = self.places.get_mut(at as usize) {
            place.1 = next;
        }
    }

    /// A packet, and which follows it.
    pub(super) fn get(&self, at: u32) -> Option<(&Packet, u32)> {
        let (packet, next) = self.places.get(at as usize)?;
        Some((packet.as_ref()?, *next))
    }

    /// Bytes of a packet; 0 where there is none.
    pub(super) fn length(&self, at: u32) -> u64 {
        self.get(at).map_or(0, |(packet, _)| packet.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packet;
    use super::*;

    #[test]
    fn it_fills_and_empties() {
        let mut store = Store::new(2);
        let [a, b] = [(); 2].map(|()| store.put(packet(b"xy")).unwrap());
        assert!(store.put(packet(b"x")).is_err() && store.held() == 2);
        store.link(a, b);
        assert_eq!((store.get(a).unwrap().1, store.get(b).unwrap().1, store.length(b)), (b, NONE, 2));
        assert_eq!(store.take(b).unwrap().1, NONE);
        assert!(store.take(b).is_none() && store.get(b).is_none() && store.length(b) == 0);
        assert_eq!((store.put(packet(b"x")).unwrap(), store.take(a).unwrap().1), (b, b));
        assert!(Store::new(0).put(packet(b"x")).is_err() && store.get(NONE).is_none());
    }
}
