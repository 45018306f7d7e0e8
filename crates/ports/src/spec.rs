//! Ports by name: `KIND:TARGET[,OPTION=VALUE…]`.
//!
//! | spec | port | options |
//! |---|---|---|
//! | `tap:NAME` | TAP interface, made if it is not there | `queues=1`, `gso=auto\|on\|off`, `persistent=off` |
//! | `packet:NAME`, `veth:NAME` | AF_PACKET on an interface | `queues=1`, `gso=auto\|on\|off`, `bypass=off`, `promiscuous=on`, `buffer=4194304`, `ring=0`, `stamps=off` |
//! | `xdp:NAME` | AF_XDP on an interface | `queues=1`, `mode=auto\|native\|generic`, `ring=1024` |
//! | `unix:PATH`, `unix:@NAME` | Unix socket | `connect=off`, `confirm=off` |
//! | `memif:PATH`, `memif:@NAME`, `memif:socket=…` | memory shared with another process | `role=client\|server`, `id=0`, `queues=1`, `ring=1024`, `buffer=2048`, `secret=` |
//! | `pcap:FILE` | capture file; `FILE` may be empty | `out=FILE`, `loop=off` |
//! | `ring:NAME` | memory: what is sent is received | `capacity=1024` |
//!
//! ```
//! let spec: ports::PortSpec = "tap:wt0,queues=2".parse()?;
//! assert_eq!(spec.to_string(), "tap:wt0,queues=2");
//! let wrong = "tap:wt0,queue=2".parse::<ports::PortSpec>().unwrap_err();
//! assert_eq!(wrong.to_string(), "tap:wt0,queue=2: queue=2: a tap port takes queues, gso, persistent");
//! # Ok::<(), ports::PortError>(())
//! ```

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;

use packet::Pool;

use crate::memif::{MemifConfig, MemifPort, Role};
use crate::packet_socket::{PacketConfig, PacketPort};
use crate::pcap::{PcapConfig, PcapPort};
use crate::tap::{self, Tap, TapConfig};
use crate::unix::{UnixConfig, UnixPort};
use crate::xdp::{XdpConfig, XdpMode, XdpPort};
use crate::{Port, PortError, ring};

/// Packets that a `ring:` port holds unless it says otherwise.
const RING_CAPACITY: usize = 1024;
/// Bytes of the longest spec that is parsed.
const SPEC_MAX: usize = 4096;

/// A port as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSpec {
    /// `tap:NAME`.
    Tap(String, TapConfig),
    /// `packet:NAME` or `veth:NAME`.
    Packet(String, PacketConfig),
    /// `xdp:NAME`.
    Xdp(String, XdpConfig),
    /// `unix:PATH`.
    Unix(String, UnixConfig),
    /// `memif:PATH`.
    Memif(String, Box<MemifConfig>),
    /// `pcap:FILE`.
    Pcap(PcapConfig),
    /// `ring:NAME` and how many packets it holds.
    Ring(String, usize),
}

/// Opens a port in the calling thread's network namespace; received packets live in buffers of `pool`.
///
/// # Errors
/// [`PortError`], which says what to do.
pub fn open(spec: &PortSpec, pool: &Pool) -> Result<Box<dyn Port>, PortError> {
    Ok(match spec {
        PortSpec::Tap(name, config) => Box::new(Tap::open(name, config, pool)?),
        PortSpec::Packet(name, config) => Box::new(PacketPort::open(name, config, pool)?),
        PortSpec::Xdp(name, config) => Box::new(XdpPort::open(name, config, pool)?),
        PortSpec::Unix(path, config) => Box::new(UnixPort::open(path, config, pool)?),
        PortSpec::Memif(path, config) => Box::new(MemifPort::open(path, config, pool)?),
        PortSpec::Pcap(config) => Box::new(PcapPort::open(config, pool)?),
        PortSpec::Ring(name, capacity) => Box::new(ring::loopback(name, *capacity)?),
    })
}

/// A port over descriptors that [`Port::duplicate`] gave in another process: as `spec` says it was opened there.
///
/// # Errors
/// [`PortError`] when they are none of such a port, or ports of that kind cannot be handed over.
pub fn adopt(spec: &PortSpec, fds: Vec<OwnedFd>, pool: &Pool) -> Result<Box<dyn Port>, PortError> {
    Ok(match spec {
        PortSpec::Tap(name, config) => Box::new(tap::adopt(name, config, fds, pool)?),
        PortSpec::Packet(name, config) => Box::new(PacketPort::adopt(name, config, fds, pool)?),
        PortSpec::Unix(path, config) => Box::new(UnixPort::adopt(path, config, fds, pool)?),
        other => {
            return Err(PortError::Option {
                port: other.to_string(),
                option: "descriptors".into(),
                problem: "ports of that kind cannot be handed over",
            });
        }
    })
}

/// The options behind a spec's target, taken out one by one.
struct Options<'a> {
    spec: &'a str,
    left: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    fn error(&self, option: String, problem: &'static str) -> PortError {
        PortError::Option { port: self.spec.into(), option, problem }
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.left.iter().position(|(have, _)| *have == key)?;
        Some(self.left.remove(at).1)
    }

    fn number<N: FromStr>(&mut self, key: &str, default: N) -> Result<N, PortError> {
        let Some(value) = self.take(key) else { return Ok(default) };
        value.parse().map_err(|_| self.error(format!("{key}={value}"), "a whole number is wanted"))
    }

    fn switch(&mut self, key: &str, default: bool) -> Result<bool, PortError> {
        match self.take(key) {
            None => Ok(default),
            Some("on" | "yes" | "true" | "1") => Ok(true),
            Some("off" | "no" | "false" | "0") => Ok(false),
            Some(value) => Err(self.error(format!("{key}={value}"), "on or off is wanted")),
        }
    }

    fn gso(&mut self) -> Result<Option<bool>, PortError> {
        match self.take("gso") {
            None | Some("auto") => Ok(None),
            Some("on") => Ok(Some(true)),
            Some("off") => Ok(Some(false)),
            Some(value) => Err(self.error(format!("gso={value}"), "auto, on or off is wanted")),
        }
    }

    fn mode(&mut self) -> Result<XdpMode, PortError> {
        match self.take("mode") {
            None | Some("auto") => Ok(XdpMode::Auto),
            Some("native") => Ok(XdpMode::Native),
            Some("generic") => Ok(XdpMode::Generic),
            Some(value) => Err(self.error(format!("mode={value}"), "auto, native or generic is wanted")),
        }
    }

    fn role(&mut self) -> Result<Role, PortError> {
        match self.take("role") {
            None | Some("client" | "slave") => Ok(Role::Client),
            Some("server" | "master") => Ok(Role::Server),
            Some(value) => Err(self.error(format!("role={value}"), "server or client is wanted")),
        }
    }

    /// What is left is nothing that this kind of port takes.
    fn done(self, takes: &'static str) -> Result<(), PortError> {
        match self.left.first() {
            Some((key, value)) => Err(self.error(format!("{key}={value}"), takes)),
            None => Ok(()),
        }
    }
}

impl FromStr for PortSpec {
    type Err = PortError;

    fn from_str(spec: &str) -> Result<Self, PortError> {
        let error = |option: &str, problem| {
            Err(PortError::Option { port: spec.chars().take(80).collect(), option: option.into(), problem })
        };
        if spec.len() > SPEC_MAX || spec.contains('\0') {
            return error("length", "a port is named in 4096 bytes at most, without zero bytes");
        }
        let Some((kind, rest)) = spec.split_once(':') else {
            return error(
                "kind",
                "a port is KIND:TARGET, with tap, packet, veth, xdp, unix, memif, pcap or ring as KIND",
            );
        };
        let mut parts = rest.split(',');
        let target = parts.next().unwrap_or_default().to_owned();
        let mut options = Options { spec, left: Vec::new() };
        for part in parts {
            let Some(pair) = part.split_once('=') else {
                return error(part, "an option is KEY=VALUE");
            };
            if options.left.iter().any(|(key, _)| *key == pair.0) {
                return error(part, "the option is there twice");
            }
            options.left.push(pair);
        }
        if target.is_empty() && kind != "pcap" {
            return error("target", "the name or path behind the colon is missing");
        }
        parse(kind, target, options)
    }
}

fn parse(kind: &str, target: String, mut options: Options<'_>) -> Result<PortSpec, PortError> {
    let (parsed, takes) = match kind {
        "tap" => {
            let queues = options.number("queues", 1)?;
            let segmentation = options.gso()?;
            let persistent = options.switch("persistent", false)?;
            let config = TapConfig { queues, segmentation, persistent };
            (PortSpec::Tap(target, config), "a tap port takes queues, gso, persistent")
        }
        "packet" | "veth" => {
            let default = PacketConfig::default();
            let config = PacketConfig {
                queues: options.number("queues", default.queues)?,
                segmentation: options.gso()?,
                qdisc_bypass: options.switch("bypass", default.qdisc_bypass)?,
                promiscuous: options.switch("promiscuous", default.promiscuous)?,
                buffer: options.number("buffer", default.buffer)?,
                ring: options.number("ring", default.ring)?,
                stamps: options.switch("stamps", default.stamps)?,
            };
            let takes = "a packet port takes queues, gso, bypass, promiscuous, buffer, ring, stamps";
            (PortSpec::Packet(target, config), takes)
        }
        "xdp" => {
            let default = XdpConfig::default();
            let config = XdpConfig {
                queues: options.number("queues", default.queues)?,
                mode: options.mode()?,
                ring: options.number("ring", default.ring)?,
            };
            (PortSpec::Xdp(target, config), "an xdp port takes queues, mode, ring")
        }
        "unix" => {
            let connect = options.switch("connect", false)?;
            let config = UnixConfig { connect, confirm: options.switch("confirm", false)? };
            (PortSpec::Unix(target, config), "a unix port takes connect, confirm")
        }
        "memif" => {
            // As DPDK spells it.
            let path = target.strip_prefix("socket=").map(ToOwned::to_owned).unwrap_or(target);
            if path.is_empty() {
                return Err(
                    options.error("socket=".into(), "a path, or an abstract name behind @, is wanted")
                );
            }
            let default = MemifConfig::default();
            let config = MemifConfig {
                role: options.role()?,
                id: options.number("id", default.id)?,
                queues: options.number("queues", default.queues)?,
                ring: options.number("ring", default.ring)?,
                buffer: options.number("buffer", default.buffer)?,
                secret: options.take("secret").unwrap_or_default().to_owned(),
            };
            let takes = "a memif port takes role, id, queues, ring, buffer, secret";
            (PortSpec::Memif(path, Box::new(config)), takes)
        }
        "pcap" => {
            let read = (!target.is_empty()).then(|| PathBuf::from(target));
            let write = options.take("out").map(PathBuf::from);
            if read.is_none() && write.is_none() {
                return Err(options.error("target".into(), "a file to read or out=FILE is wanted"));
            }
            let config = PcapConfig { read, write, repeat: options.switch("loop", false)? };
            (PortSpec::Pcap(config), "a pcap port takes out, loop")
        }
        "ring" => {
            let capacity = options.number("capacity", RING_CAPACITY)?;
            if !(1..=ring::CAPACITY_MAX).contains(&capacity) {
                return Err(
                    options.error(format!("capacity={capacity}"), "a ring holds 1 to 1048576 packets")
                );
            }
            (PortSpec::Ring(target, capacity), "a ring port takes capacity")
        }
        other => {
            let known = "the kinds are tap, packet, veth, xdp, unix, memif, pcap, ring";
            return Err(options.error(format!("kind {other}"), known));
        }
    };
    options.done(takes)?;
    Ok(parsed)
}

/// Writes options that differ from what is taken for granted.
struct Written<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Written<'_, '_> {
    fn option<V: PartialEq + fmt::Display + Copy>(&mut self, key: &str, value: V, default: V) -> fmt::Result {
        if value == default { Ok(()) } else { write!(self.0, ",{key}={value}") }
    }

    fn switch(&mut self, key: &str, value: bool, default: bool) -> fmt::Result {
        let word = |value| if value { "on" } else { "off" };
        self.option(key, word(value), word(default))
    }

    fn gso(&mut self, value: Option<bool>) -> fmt::Result {
        value.map_or(Ok(()), |on| write!(self.0, ",gso={}", if on { "on" } else { "off" }))
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap(name, config) => {
                write!(f, "tap:{name}")?;
                let mut written = Written(f);
                written.option("queues", config.queues, 1)?;
                written.gso(config.segmentation)?;
                written.switch("persistent", config.persistent, false)
            }
            Self::Packet(name, config) => {
                let default = PacketConfig::default();
                write!(f, "packet:{name}")?;
                let mut written = Written(f);
                written.option("queues", config.queues, default.queues)?;
                written.gso(config.segmentation)?;
                written.switch("bypass", config.qdisc_bypass, default.qdisc_bypass)?;
                written.switch("promiscuous", config.promiscuous, default.promiscuous)?;
                written.option("buffer", config.buffer, default.buffer)?;
                written.option("ring", config.ring, default.ring)?;
                written.switch("stamps", config.stamps, default.stamps)
            }
            Self::Xdp(name, config) => {
                let default = XdpConfig::default();
                write!(f, "xdp:{name}")?;
                let mut written = Written(f);
                written.option("queues", config.queues, default.queues)?;
                let word = |mode| match mode {
                    XdpMode::Auto => "auto",
                    XdpMode::Native => "native",
                    XdpMode::Generic => "generic",
                };
                written.option("mode", word(config.mode), word(default.mode))?;
                written.option("ring", config.ring, default.ring)
            }
            Self::Unix(path, config) => {
                write!(f, "unix:{path}")?;
                let mut written = Written(f);
                written.switch("connect", config.connect, false)?;
                written.switch("confirm", config.confirm, false)
            }
            Self::Memif(path, config) => {
                write!(f, "memif:{path}")?;
                let default = MemifConfig::default();
                let mut written = Written(f);
                let word = |role| if role == Role::Server { "server" } else { "client" };
                written.option("role", word(config.role), word(default.role))?;
                written.option("id", config.id, default.id)?;
                written.option("queues", config.queues, default.queues)?;
                written.option("ring", config.ring, default.ring)?;
                written.option("buffer", config.buffer, default.buffer)?;
                written.option("secret", config.secret.as_str(), "")
            }
            Self::Pcap(config) => {
                let read = config.read.as_ref().map_or_else(String::new, |path| path.display().to_string());
                write!(f, "pcap:{read}")?;
                if let Some(path) = &config.write {
                    write!(f, ",out={}", path.display())?;
                }
                Written(f).switch("loop", config.repeat, false)
            }
            Self::Ring(name, capacity) => {
                write!(f, "ring:{name}")?;
                Written(f).option("capacity", *capacity, RING_CAPACITY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_said() {
        for (spec, part) in [
            ("eth0", "a port is KIND:TARGET"),
            ("dpdk:0", "kind dpdk: the kinds are"),
            ("tap:", "behind the colon is missing"),
            ("tap:a,queues=many", "queues=many: a whole number"),
            ("tap:a,gso=on,gso=on", "there twice"),
            ("tap:a,gso", "an option is KEY=VALUE"),
            ("tap:a,persistent=maybe", "persistent=maybe: on or off"),
            ("xdp:a,mode=fast", "mode=fast: auto, native or generic"),
            ("pcap:", "a file to read or out=FILE"),
            ("ring:a,capacity=0", "capacity=0: a ring holds"),
            ("unix:a,queues=2", "a unix port takes connect, confirm"),
            ("memif:socket=", "a path, or an abstract name"),
            ("memif:a,role=boss", "role=boss: server or client"),
            ("memif:a,mac=1", "a memif port takes role, id, queues, ring, buffer, secret"),
        ] {
            let error = spec.parse::<PortSpec>().unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn a_memif_is_spelled_as_elsewhere_too() {
        let spelled = "memif:socket=/run/x.sock,role=master,id=3".parse::<PortSpec>().unwrap();
        assert_eq!(spelled.to_string(), "memif:/run/x.sock,role=server,id=3");
    }

    #[test]
    fn a_veth_is_a_packet_port() {
        assert_eq!("veth:eth0".parse::<PortSpec>().unwrap(), "packet:eth0".parse().unwrap());
    }

    proptest! {
        #[test]
        fn every_spec_survives_the_round_trip(
            kind in 0..7usize, name in "[a-z@/.][a-z0-9/.]{0,14}", number in 1..500usize,
            a: bool, b: bool, gso in proptest::option::of(any::<bool>()), mode in 0..3usize,
        ) {
            let spec = match kind {
                0 => PortSpec::Tap(name, TapConfig { queues: number, segmentation: gso, persistent: a }),
                1 => PortSpec::Packet(name, PacketConfig {
                    queues: number, segmentation: gso, qdisc_bypass: a, promiscuous: b, buffer: number, ring: number,
                    stamps: a != b,
                }),
                2 => PortSpec::Xdp(name, XdpConfig {
                    queues: number,
                    mode: [XdpMode::Auto, XdpMode::Native, XdpMode::Generic][mode],
                    ring: number as u32,
                }),
                3 => PortSpec::Unix(name, UnixConfig { connect: a, confirm: b }),
                4 => PortSpec::Memif(name, Box::new(MemifConfig {
                    role: if a { Role::Server } else { Role::Client },
                    id: mode as u32,
                    queues: number,
                    ring: number as u32,
                    buffer: number as u32,
                    secret: if b { "s".into() } else { String::new() },
                })),
                5 => PortSpec::Pcap(PcapConfig {
                    read: a.then(|| "in.pcap".into()), write: (!a || b).then(|| name.into()), repeat: b,
                }),
                _ => PortSpec::Ring(name, number),
            };
            prop_assert_eq!(spec.to_string().parse::<PortSpec>().unwrap(), spec);
        }

        #[test]
        fn no_text_panics(spec in "(tap|pcap|xdp|ring|unix|memif|packet|):?[ -~]{0,40}") {
            let _ = spec.parse::<PortSpec>();
        }
    }
}
