//! What joins two namespaces, and the commands that run in them.

use std::process::Command;

use clap::ValueEnum;

use crate::error::Result;
use crate::namespace::Namespace;
use crate::peer::{self, Peer, Side};
use crate::process::{Running, start};

/// The paths there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A veth pair, a packet socket at both ends
    Pair,
    /// The same, received by a ring of blocks (TPACKET_V3)
    PairRing,
    /// The same, AF_XDP at both ends
    PairXdp,
    /// A kernel bridge between two veth pairs
    Bridge,
    /// Open vSwitch's userspace datapath on two veth pairs
    OvsVeth,
    /// weft's engine on two veth pairs, by packet sockets
    Weft,
    /// weft's engine on two veth pairs, by AF_XDP
    WeftXdp,
}

/// All of them, in the order they are shown.
pub(super) const ALL: [Kind; 7] =
    [Kind::Pair, Kind::PairRing, Kind::PairXdp, Kind::Bridge, Kind::OvsVeth, Kind::Weft, Kind::WeftXdp];

impl Kind {
    /// Its name in tables and on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::PairRing => "pair-ring",
            Self::PairXdp => "pair-xdp",
            Self::Bridge => "bridge",
            Self::OvsVeth => "ovs-veth",
            Self::Weft => "weft",
            Self::WeftXdp => "weft-xdp",
        }
    }

    /// What its ends are, in words.
    pub(super) fn ports(self) -> &'static str {
        match self {
            Self::PairRing => "AF_PACKET, TPACKET_V3",
            Self::PairXdp => "AF_XDP",
            _ => "AF_PACKET",
        }
    }

    /// Sending and receiving port.
    fn specs(self) -> [&'static str; 2] {
        match self {
            Self::PairRing => ["packet:eth0,bypass=on", "packet:eth0,ring=4194304"],
            Self::PairXdp => ["xdp:eth0,ring=2048", "xdp:eth0,ring=2048"],
            _ => ["packet:eth0,bypass=on", "packet:eth0,bypass=on"],
        }
    }

    /// Frames under way: the ring of blocks gives them away a thousand at a time, the others one by one.
    fn window(self) -> u32 {
        match self {
            Self::PairRing => 16_384,
            _ => 256,
        }
    }
}

/// Two namespaces, joined.
pub(super) struct Path {
    kind: Kind,
    ends: Ends,
    between: Vec<u32>,
}

/// Dropped in order: programs first.
enum Ends {
    Peer(Box<dyn Peer>),
    Ours { client: Namespace, server: Namespace, _between: Option<(Running, Namespace)> },
}

impl Path {
    pub(super) fn build(kind: Kind, directory: &std::path::Path) -> Result<Self> {
        let (letter, forwards) = match kind {
            Kind::Pair => ('v', None),
            Kind::PairRing => ('w', None),
            Kind::PairXdp => ('x', None),
            Kind::Weft => ('y', Some("packet")),
            Kind::WeftXdp => ('z', Some("xdp")),
            Kind::Bridge | Kind::OvsVeth => {
                let peer = if kind == Kind::Bridge { peer::Kind::Bridge } else { peer::Kind::OvsVeth };
                let peer = peer.build(directory, std::path::Path::new(""))?;
                let between = peer.dataplane();
                return Ok(Self { kind, ends: Ends::Peer(peer), between });
            }
        };
        let client = Namespace::new(&format!("{letter}c"))?;
        let server = Namespace::new(&format!("{letter}s"))?;
        let Some(port) = forwards else {
            client.join(&server, "eth0", peer::CLIENT)?;
            server.address(peer::SERVER)?;
            let ends = Ends::Ours { client, server, _between: None };
            return Ok(Self { kind, ends, between: Vec::new() });
        };
        let middle = Namespace::new(&letter.to_string())?;
        client.join(&middle, "client", peer::CLIENT)?;
        server.join(&middle, "server", peer::SERVER)?;
        let mut command = middle.command(&peer::this_program().to_string_lossy());
        command.args(["veth-forward", &format!("{port}:client"), &format!("{port}:server")]);
        let mut running = start(&mut command)?;
        running.await_text(super::traffic::READY, super::SLACK)?;
        let between = vec![running.id()];
        let ends = Ends::Ours { client, server, _between: Some((running, middle)) };
        Ok(Self { kind, ends, between })
    }

    /// The command that sends and receives for a while, in the client's namespace.
    pub(super) fn traffic(&self, seconds: u32) -> Command {
        let us = peer::this_program();
        let (mut command, server) = match &self.ends {
            Ends::Peer(peer) => {
                (peer.command(Side::Client, &us.to_string_lossy()), peer.namespace(Side::Server))
            }
            Ends::Ours { client, server, .. } => (client.command(&us.to_string_lossy()), Some(server)),
        };
        let [tx, rx] = self.kind.specs();
        command.args(["veth-traffic", tx, rx, "--seconds", &seconds.to_string()]);
        command.args(["--window", &self.kind.window().to_string()]);
        if let Some(server) = server {
            command.args(["--rx-namespace", server.name()]);
        }
        for pid in &self.between {
            command.args(["--between", &pid.to_string()]);
        }
        command
    }
}
