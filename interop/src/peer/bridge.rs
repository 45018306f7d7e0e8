//! The kernel bridge: what the machine does best without us. Two veth pairs with the offloads they come with.

use std::process::Command;

use super::{CLIENT, Ends, Kind, Peer, SERVER, Side};
use crate::error::Result;
use crate::namespace::Namespace;

/// A bridge in a namespace of its own.
pub(super) struct Bridge {
    ends: Ends,
    _switch: Namespace,
}

impl Bridge {
    pub(super) fn new() -> Result<Self> {
        let switch = Namespace::new("b")?;
        let mut ends = Ends::new('b')?;
        switch.ip(&["link", "add", "br0", "type", "bridge", "forward_delay", "0"])?;
        switch.ip(&["link", "set", "br0", "up"])?;
        for (end, port, address) in [(&ends.client, "client", CLIENT), (&ends.server, "server", SERVER)] {
            end.join(&switch, port, address)?;
            switch.ip(&["link", "set", port, "master", "br0"])?;
        }
        ends.serve()?;
        Ok(Self { ends, _switch: switch })
    }
}

impl Peer for Bridge {
    fn kind(&self) -> Kind {
        Kind::Bridge
    }

    fn command(&self, side: Side, program: &str) -> Command {
        self.ends.command(side, program)
    }

    fn namespace(&self, side: Side) -> Option<&Namespace> {
        Some(self.ends.of(side))
    }

    fn dataplane(&self) -> Vec<u32> {
        Vec::new()
    }
}
