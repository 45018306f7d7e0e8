//! Which connections belong to one datapath: a main one, and 1.3's auxiliary ones (1.3.5, section 6.3.6).

use std::collections::HashMap;

use super::{ConnectionId, Down};
use crate::message::Features;

/// Auxiliary connections of a datapath.
pub const AUXILIARIES_MAX: usize = 8;

/// A controller's datapaths.
#[derive(Debug, Default)]
pub struct Datapaths {
    datapaths: HashMap<u64, Entry>,
    connections: HashMap<ConnectionId, (u64, u8)>,
}

#[derive(Debug)]
struct Entry {
    main: ConnectionId,
    /// Number and connection.
    auxiliaries: Vec<(u8, ConnectionId)>,
}

/// Connections that end with another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The datapath whose main connection it was.
    pub datapath: Option<u64>,
    /// Its auxiliary ones, to be closed.
    pub auxiliaries: Vec<ConnectionId>,
}

impl Datapaths {
    /// Takes a connection in by what its switch says of itself. A main connection takes the place of another one of the
    /// same datapath, which is returned, to be closed together with its auxiliary ones: a switch that comes back after
    /// a power cut would else wait for its own ghost to time out.
    ///
    /// # Errors
    /// An auxiliary connection of a datapath that has no main one, [`AUXILIARIES_MAX`] others, or one of that number:
    /// to be closed.
    pub fn add(&mut self, connection: ConnectionId, features: &Features) -> Result<Vec<ConnectionId>, Down> {
        let (datapath, auxiliary) = (features.datapath, features.auxiliary);
        let mut replaced = Vec::new();
        if auxiliary == 0 {
            let entry = Entry { main: connection, auxiliaries: Vec::new() };
            if let Some(before) = self.datapaths.insert(datapath, entry) {
                replaced.push(before.main);
                replaced.extend(before.auxiliaries.iter().map(|&(_, connection)| connection));
            }
            for connection in &replaced {
                self.connections.remove(connection);
            }
        } else {
            let refused = |problem| Down::Auxiliary { datapath, auxiliary, problem };
            let entry =
                self.datapaths.get_mut(&datapath).ok_or_else(|| refused("it has no main connection"))?;
            if entry.auxiliaries.len() >= AUXILIARIES_MAX {
                return Err(refused("it has as many as may be"));
            }
            if entry.auxiliaries.iter().any(|&(number, _)| number == auxiliary) {
                return Err(refused("it has one of that number"));
            }
            entry.auxiliaries.push((auxiliary, connection));
        }
        self.connections.insert(connection, (datapath, auxiliary));
        Ok(replaced)
    }

    /// A connection is gone.
    pub fn remove(&mut self, connection: ConnectionId) -> Gone {
        let Some((datapath, auxiliary)) = self.connections.remove(&connection) else {
            return Gone::default();
        };
        if auxiliary != 0 {
            if let Some(entry) = self.datapaths.get_mut(&datapath) {
                entry.auxiliaries.retain(|&(number, _)| number != auxiliary);
            }
            return Gone::default();
        }
        let auxiliaries = self.datapaths.remove(&datapath).map(|entry| entry.auxiliaries).unwrap_or_default();
        let auxiliaries: Vec<_> = auxiliaries.into_iter().map(|(_, connection)| connection).collect();
        for connection in &auxiliaries {
            self.connections.remove(connection);
        }
        Gone { datapath: Some(datapath), auxiliaries }
    }

    /// The main connection of a datapath.
    #[must_use]
    pub fn main(&self, datapath: u64) -> Option<ConnectionId> {
        self.datapaths.get(&datapath).map(|entry| entry.main)
    }

    /// Datapath and auxiliary number of a connection.
    #[must_use]
    pub fn of(&self, connection: ConnectionId) -> Option<(u64, u8)> {
        self.connections.get(&connection).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(datapath: u64, auxiliary: u8) -> Features {
        Features { datapath, auxiliary, ..Features::default() }
    }

    #[test]
    fn auxiliary_connections_live_and_die_with_the_main_one() {
        let mut datapaths = Datapaths::default();
        let id = ConnectionId;
        assert!(datapaths.add(id(1), &features(7, 1)).is_err(), "no main connection");
        assert_eq!(datapaths.add(id(2), &features(7, 0)).unwrap(), []);
        for number in 1..=AUXILIARIES_MAX as u8 {
            assert_eq!(datapaths.add(id(10 + u64::from(number)), &features(7, number)).unwrap(), []);
            assert!(datapaths.add(id(99), &features(7, number)).is_err(), "that number is there");
        }
        assert!(datapaths.add(id(99), &features(7, 200)).is_err(), "too many");
        assert_eq!(
            (datapaths.main(7), datapaths.of(id(11)), datapaths.of(id(99))),
            (Some(id(2)), Some((7, 1)), None)
        );
        assert_eq!(datapaths.remove(id(11)), Gone::default());
        assert_eq!(datapaths.add(id(11), &features(7, 200)).unwrap(), []);
        let gone = datapaths.remove(id(2));
        assert_eq!((gone.datapath, gone.auxiliaries.len()), (Some(7), AUXILIARIES_MAX));
        assert!(datapaths.connections.is_empty() && datapaths.datapaths.is_empty());
    }

    #[test]
    fn who_comes_back_takes_its_own_place() {
        let mut datapaths = Datapaths::default();
        let id = ConnectionId;
        datapaths.add(id(1), &features(7, 0)).unwrap();
        datapaths.add(id(2), &features(7, 1)).unwrap();
        assert_eq!(datapaths.add(id(3), &features(7, 0)).unwrap(), [id(1), id(2)]);
        assert_eq!(datapaths.remove(id(1)), Gone::default(), "the old one's end is not the new one's");
        assert_eq!(datapaths.main(7), Some(id(3)));
    }
}
