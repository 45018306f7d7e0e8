//! AF_PACKET: a port on an interface that exists already, such as one end of a veth pair (packet(7)).
//!
//! What another namespace sends into the veth comes out here as the kernel had it, with a virtio-net header: TCP
//! segments up to 64 KiB, checksums undone. A VLAN tag that the kernel took off is put back.
//!
//! # Why it looks like this
//!
//! Plain `recvmmsg` into the pool's buffers is the default, and not the TPACKET_V3 ring, which stays an option
//! ([`PacketConfig::ring`]). Measured over a veth pair (`cargo bench -p ports`, 2 virtual cores, Linux 6.18):
//!
//! | | 64 B, ns per packet | 64 KiB segment, µs | a sleeping thread has a lone packet after |
//! |---|---|---|---|
//! | `recvmmsg` | 612 | 2.9 | 10 µs |
//! | TPACKET_V3, 512 KiB | 157 | 3.3 | 886 µs |
//! | TPACKET_V3, 4 MiB | 166 | 4.0 | 884 µs |
//!
//! The ring hands a block over when it is full or a millisecond old, and that millisecond is in every round trip of a
//! container network. It also copies a segment twice, and pins its memory even where nothing arrives. It is the better
//! choice for capturing many small packets. TPACKET_V2 hands frames over one by one, but in slots of one size: with
//! segments of 64 KiB a ring of 32 slots takes 2 MiB for each of a thousand containers. `PACKET_QDISC_BYPASS` makes no
//! difference on a veth, which has no queue to bypass.
//!
//! `recvmmsg` is offered few buffers while little arrives and more as they fill, so an idle port costs little.
//! Sending is `sendmmsg`, header and frame gathered, which leaves the packets as they were when the kernel takes fewer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packet::{
    BATCH, Batch, Checksum, Offload, Packet, Pool, ROOM_GSO, SegmentKind, Segmentation, VIRTIO_HEADER,
};

use crate::counters::{self, QueueCounters};
use crate::finish::Segments;
use crate::packet_ring::RingRx;
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue, interface};

/// The most queues: sockets that share the interface by flow (`PACKET_FANOUT_MAX` allows more).
pub const QUEUES_MAX: usize = 256;

/// Buffers that a queue begins to receive with; the number follows the load between this and [`BATCH`].
const BURST_MIN: usize = 4;
/// Length of an 802.1Q tag.
const VLAN_TAG: usize = 4;
/// Where the tag goes: behind the two addresses.
const VLAN_AT: usize = 12;
/// In words: `tpacket_auxdata` with its `cmsghdr`, `CMSG_SPACE(20)`, and a `timespec` with its own, `CMSG_SPACE(16)`.
const CONTROL_WORDS: usize = 5 + 4;

/// How a packet socket is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketConfig {
    /// How many queues, 1 to [`QUEUES_MAX`]; the kernel spreads flows over them.
    pub queues: usize,
    /// Whether large segments are expected; needs buffers of [`ROOM_GSO`]. By default they are when the pool's
    /// buffers are that large. Where not, segments longer than a buffer are dropped and counted.
    pub segmentation: Option<bool>,
    /// Whether sent frames skip the interface's queueing discipline (`PACKET_QDISC_BYPASS`).
    pub qdisc_bypass: bool,
    /// Whether frames for other stations are received too.
    pub promiscuous: bool,
    /// Bytes that the kernel may queue in each direction. Without `CAP_NET_ADMIN` the kernel caps it at
    /// `net.core.rmem_max` and `wmem_max`.
    pub buffer: usize,
    /// Bytes of a receive ring (TPACKET_V3) in place of plain receiving; 0 for none. See the module's figures.
    pub ring: usize,
    /// Whether packets carry the time at which the kernel had them ([`Packet::timestamp_ns`], nanoseconds since 1970), which is
    /// earlier than when a sleeping reader has them. Not with a ring.
    pub stamps: bool,
}

impl Default for PacketConfig {
    fn default() -> Self {
        Self {
            queues: 1,
            segmentation: None,
            qdisc_bypass: false,
            promiscuous: true,
            buffer: 4 << 20,
            ring: 0,
            stamps: false,
        }
    }
}

/// A port on an existing interface.
pub struct PacketPort {
    info: PortInfo,
    queues: Vec<Option<(Box<dyn RxQueue>, PacketTx)>>,
    sockets: Vec<Arc<Socket>>,
    /// Whether there is a receive ring.
    ring: bool,
}

/// A queue's socket, bound to the interface.
pub(crate) struct Socket {
    pub(crate) fd: OwnedFd,
    interface: i32,
    name: String,
    pub(crate) counters: QueueCounters,
    /// What the kernel dropped before we saw it.
    overruns: AtomicU64,
}

impl PacketPort {
    /// Opens a port on the interface `name` of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`PortError`] without `CAP_NET_RAW`, without the interface, or when the pool's buffers are too small.
    pub fn open(name: &str, config: &PacketConfig, pool: &Pool) -> Result<Self, PortError> {
        let option =
            |option: String, problem| PortError::Option { port: format!("packet:{name}"), option, problem };
        if !(1..=QUEUES_MAX).contains(&config.queues) {
            return Err(option(format!("queues={}", config.queues), "a packet port has 1 to 256 queues"));
        }
        if config.segmentation == Some(true) && pool.room() < ROOM_GSO {
            let problem = "segmentation needs a pool with buffers of packet::ROOM_GSO bytes";
            return Err(option("gso=on".into(), problem));
        }
        let mut sockets = Vec::new();
        let mut group = None;
        for _ in 0..config.queues {
            let socket = Socket::open(name, config)?;
            if config.queues > 1 {
                let joined = socket.join(group);
                group = Some(joined.map_err(|source| socket.system("sharing the interface", source))?);
            }
            sockets.push(Arc::new(socket));
        }
        Self::over(name, config, sockets, pool)
    }

    /// A port over the descriptors that another process has duplicated.
    pub(crate) fn adopt(
        name: &str,
        config: &PacketConfig,
        fds: Vec<OwnedFd>,
        pool: &Pool,
    ) -> Result<Self, PortError> {
        if fds.is_empty() || fds.len() != config.queues || config.ring != 0 {
            return Err(PortError::Option {
                port: format!("packet:{name}"),
                option: format!("{} descriptors", fds.len()),
                problem: "they are those of another port",
            });
        }
        let sockets = fds.into_iter().map(|fd| Socket::over(fd, name).map(Arc::new));
        Self::over(name, config, sockets.collect::<Result<_, _>>()?, pool)
    }

    fn over(
        name: &str,
        config: &PacketConfig,
        sockets: Vec<Arc<Socket>>,
        pool: &Pool,
    ) -> Result<Self, PortError> {
        let option =
            |option: String, problem| PortError::Option { port: format!("packet:{name}"), option, problem };
        let ask = &sockets[0].fd;
        let mtu = interface::mtu(ask, name).map_err(|e| interface::missing(&sockets[0].port(), name, e))?;
        let mac = interface::mac(ask, name).ok();
        if pool.room() < mtu + 14 + VLAN_TAG + VIRTIO_HEADER {
            return Err(option(format!("mtu {mtu}"), "the pool's buffers are smaller than a frame"));
        }
        let offloads =
            Offloads { checksum: true, tcp_segmentation: true, udp_segmentation: kernel_is_at_least(6, 2) };
        let info = PortInfo { name: name.into(), kind: "packet", mac, mtu, queues: config.queues, offloads };
        let queue = |socket: &Arc<Socket>| {
            let (socket, pool) = (socket.clone(), pool.clone());
            let tx = PacketTx { socket: socket.clone(), pool: pool.clone(), udp: offloads.udp_segmentation };
            let rx: Box<dyn RxQueue> = match config.ring {
                0 => Box::new(PacketRx { socket, pool, burst: BURST_MIN, gone: false }),
                bytes => Box::new(RingRx::open(socket, pool, bytes)?),
            };
            Ok(Some((rx, tx)))
        };
        let queues = sockets.iter().map(queue).collect::<Result<_, _>>()?;
        Ok(Self { info, queues, sockets, ring: config.ring != 0 })
    }
}

/// Whether the running kernel is of this version or later.
fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

impl Socket {
    fn open(name: &str, config: &PacketConfig) -> Result<Self, PortError> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: a plain system call. Protocol 0 receives nothing until the socket is bound.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            let source = io::Error::last_os_error();
            let port = format!("packet:{name}");
            return Err(match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => PortError::Privilege {
                    port,
                    action: "opening a packet socket",
                    remedy: "run as root, with CAP_NET_RAW, or inside a user namespace that owns the interface",
                    source,
                },
                _ => PortError::System { port, action: "opening a packet socket", source },
            });
        }
        // SAFETY: a descriptor that the kernel just gave out and nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Self::over(fd, name)?;
        socket.configure(config).map_err(|source| socket.system("setting socket options", source))?;
        socket.bind().map_err(|source| socket.system("binding to the interface", source))?;
        Ok(socket)
    }

    fn over(fd: OwnedFd, name: &str) -> Result<Self, PortError> {
        let interface = interface::index(&fd, name)
            .map_err(|source| interface::missing(&format!("packet:{name}"), name, source))?;
        let (counters, overruns) = (QueueCounters::default(), AtomicU64::new(0));
        Ok(Self { fd, interface, name: name.into(), counters, overruns })
    }

    fn configure(&self, config: &PacketConfig) -> io::Result<()> {
        let set = |option, value: i32| interface::set_option(&self.fd, libc::SOL_PACKET, option, &value);
        set(libc::PACKET_VNET_HDR, 1)?;
        set(libc::PACKET_AUXDATA, 1)?;
        set(libc::PACKET_IGNORE_OUTGOING, 1)?;
        set(libc::PACKET_QDISC_BYPASS, i32::from(config.qdisc_bypass))?;
        if config.promiscuous {
            // SAFETY: all-zero bytes are a valid `packet_mreq`: it holds integers only.
            let mut request: libc::packet_mreq = unsafe { std::mem::zeroed() };
            request.mr_ifindex = self.interface;
            request.mr_type = libc::PACKET_MR_PROMISC as u16;
            interface::set_option(&self.fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)?;
        }
        if config.stamps {
            interface::set_option(&self.fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)?;
        }
        let bytes = i32::try_from(config.buffer).unwrap_or(i32::MAX);
        let socket = |option| interface::set_option(&self.fd, libc::SOL_SOCKET, option, &bytes);
        socket(libc::SO_RCVBUFFORCE).or_else(|_| socket(libc::SO_RCVBUF))?;
        socket(libc::SO_SNDBUFFORCE).or_else(|_| socket(libc::SO_SNDBUF))
    }

    fn bind(&self) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = self.interface;
        let (pointer, len) = (std::ptr::from_ref(&address).cast(), size_of_val(&address) as u32);
        // SAFETY: pointer and length of a `sockaddr_ll` that outlives the call.
        if unsafe { libc::bind(self.fd.as_raw_fd(), pointer, len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Joins the group of sockets that share the interface, or founds one; returns its number.
    fn join(&self, group: Option<u16>) -> io::Result<u16> {
        const FLAG_UNIQUE: u32 = 0x2000;
        let mode = libc::PACKET_FANOUT_HASH | if group.is_none() { FLAG_UNIQUE } else { 0 };
        let value = u32::from(group.unwrap_or(0)) | mode << 16;
        interface::set_option(&self.fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &value)?;
        Ok(interface::option::<u32>(&self.fd, libc::SOL_PACKET, libc::PACKET_FANOUT)? as u16)
    }

    pub(crate) fn port(&self) -> String {
        format!("packet:{}", self.name)
    }

    pub(crate) fn system(&self, action: &'static str, source: io::Error) -> PortError {
        PortError::System { port: self.port(), action, source }
    }

    pub(crate) fn exists(&self) -> bool {
        !interface::is_gone(&self.fd, self.interface)
    }

    /// Adds what the kernel dropped since it was last asked.
    fn note_overruns(&self) -> u64 {
        // `struct tpacket_stats { tp_packets, tp_drops }`; asking sets both back to zero.
        let more = interface::option::<[u32; 2]>(&self.fd, libc::SOL_PACKET, libc::PACKET_STATISTICS);
        let more = more.map_or(0, |[_, drops]| u64::from(drops));
        self.overruns.fetch_add(more, Ordering::Relaxed) + more
    }
}

impl Port for PacketPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        let socket = &self.sockets[0];
        match interface::name(&socket.fd, socket.interface) {
            Ok(name) => interface::link(&socket.fd, &name),
            Err(_) => LinkState::Down,
        }
    }

    fn counters(&self) -> Counters {
        let mut sum = counters::total(self.sockets.iter().map(|socket| &socket.counters));
        sum.rx_dropped += self.sockets.iter().map(|socket| socket.note_overruns()).sum::<u64>();
        sum
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (rx, tx) = self.queues.get_mut(index)?.take()?;
        Some((rx, Box::new(tx)))
    }

    /// Not where there is a ring: what is in it would have to be shared.
    fn duplicate(&self) -> io::Result<Option<Vec<OwnedFd>>> {
        if self.ring {
            return Ok(None);
        }
        self.sockets.iter().map(|socket| socket.fd.try_clone()).collect::<io::Result<_>>().map(Some)
    }
}

struct PacketRx {
    socket: Arc<Socket>,
    pool: Pool,
    /// How many buffers the next system call gets.
    burst: usize,
    gone: bool,
}

/// What the kernel says beside a frame: `tpacket_auxdata` and a `timespec`, each behind its `cmsghdr`.
type Control = [u64; CONTROL_WORDS];

impl PacketRx {
    /// Fills `fresh`, which holds empty packets, with frames; returns how many, good and bad, came.
    fn receive_into(&self, fresh: &mut Batch, batch: &mut Batch) -> io::Result<usize> {
        // SAFETY: all-zero bytes are valid message headers, with null pointers and no lengths.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        let mut controls: [Control; BATCH] = [[0; CONTROL_WORDS]; BATCH];
        let parts = headers.iter_mut().zip(&mut vectors).zip(&mut controls);
        for (((header, vector), control), packet) in parts.zip(fresh.iter_mut()) {
            // The header goes in front of where the frame is to start, if the pool left headroom there.
            let _ = packet.prepend(VIRTIO_HEADER);
            let room = packet.room_mut();
            (vector.iov_base, vector.iov_len) = (room.as_mut_ptr().cast(), room.len());
            (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (vector, 1);
            header.msg_hdr.msg_control = std::ptr::from_mut(control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
        }
        // SAFETY: the first `fresh.len()` headers point to a vector and a control buffer each, which outlive the
        // call; each vector spans the buffer of a packet that `fresh` owns and nobody else refers to.
        let came = unsafe {
            let (fd, count) = (self.socket.fd.as_raw_fd(), fresh.len() as u32);
            libc::recvmmsg(fd, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
        };
        let came = usize::try_from(came).map_err(|_| io::Error::last_os_error())?;
        let (mut packets, mut bytes) = (0, 0);
        for ((packet, header), control) in fresh.drain(..came).zip(&headers).zip(&controls) {
            let cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let control = &control[..header.msg_hdr.msg_controllen.min(size_of::<Control>()) / 8];
            let said = Said::of(control);
            if let Some(mut packet) =
                finish_receive(packet, header.msg_len as usize, said.tag).filter(|_| !cut)
            {
                packet.set_timestamp_ns(said.stamp_ns);
                packets += 1;
                bytes += packet.len() as u64;
                // `fresh` holds no more than `batch` has room for.
                let _ = batch.push(packet);
            }
        }
        self.socket.counters.received(packets, bytes, came as u64 - packets);
        Ok(came)
    }

    /// Takes frames out of the kernel when there are no buffers for them.
    fn discard(&self, count: usize) -> io::Result<usize> {
        let mut scratch = [0u8; VIRTIO_HEADER + 1];
        for dropped in 0..count {
            let (fd, to) = (self.socket.fd.as_raw_fd(), scratch.as_mut_ptr().cast());
            // SAFETY: pointer and length of a buffer that outlives the call.
            if unsafe { libc::recv(fd, to, scratch.len(), libc::MSG_DONTWAIT) } < 0 {
                self.socket.counters.received(0, 0, dropped as u64);
                return Err(io::Error::last_os_error());
            }
        }
        self.socket.counters.received(0, 0, count as u64);
        Ok(0)
    }

    /// Follows the load: more buffers when all were filled, fewer when less than half were.
    fn adapt(&mut self, came: usize) {
        if came >= self.burst {
            self.burst = (self.burst * 2).min(BATCH);
        } else if came * 2 < self.burst {
            self.burst = (self.burst / 2).max(BURST_MIN);
        }
    }
}

/// Makes a frame of what the kernel wrote into the packet; `None` if it makes no sense.
pub(crate) fn finish_receive(mut packet: Packet, len: usize, tag: Option<[u8; VLAN_TAG]>) -> Option<Packet> {
    packet.set_len(len).ok()?;
    let mut offload = Offload::from_virtio(packet.data().first_chunk()?).ok()?;
    packet.trim_front(VIRTIO_HEADER);
    if let Some(tag) = tag {
        restore_vlan(&mut packet, tag)?;
        if let Checksum::Partial { start, .. } = &mut offload.checksum {
            *start = start.checked_add(VLAN_TAG as u16)?;
        }
        if let Some(segmentation) = &mut offload.segmentation {
            segmentation.header_len = segmentation.header_len.saturating_add(VLAN_TAG as u16);
        }
    }
    packet.set_offload(offload);
    Some(packet)
}

/// What the kernel says beside a frame.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// The tag that it took off, as it was on the wire.
    tag: Option<[u8; VLAN_TAG]>,
    /// When it had the frame, in nanoseconds since 1970; 0 where it was not asked.
    stamp_ns: u64,
}

impl Said {
    /// `control` is some of: a `cmsghdr` (length, level, type) with a `tpacket_auxdata` (status, len, snaplen (u32), mac, net, tci,
    /// tpid (u16)), and one with a `timespec`.
    fn of(mut control: &[u64]) -> Self {
        let mut said = Self::default();
        while let [bytes, kind, body @ ..] = control {
            let words = usize::try_from(*bytes).unwrap_or(0).div_ceil(8);
            let body = &body[..words.saturating_sub(2).min(body.len())];
            let (level, kind) = halves(*kind);
            match (level as i32, kind as i32, body) {
                (libc::SOL_PACKET, libc::PACKET_AUXDATA, &[status, _, rest]) => {
                    let (status, _) = halves(status);
                    // tp_mac and tp_net lie in the upper half of the word before; `rest` starts with tci and tpid.
                    let rest = rest.to_ne_bytes();
                    let field = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
                    said.tag = vlan_tag(status, field(0), field(2));
                }
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &[seconds, nanoseconds]) => {
                    said.stamp_ns = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
                }
                _ => {}
            }
            control = control.get(words.max(2)..).unwrap_or_default();
        }
        said
    }
}

/// The tag as it was on the wire, if the kernel took one off.
pub(crate) fn vlan_tag(status: u32, tci: u16, tpid: u16) -> Option<[u8; VLAN_TAG]> {
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let known = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let tpid = if known { tpid } else { libc::ETH_P_8021Q as u16 };
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), tci.to_be_bytes());
    Some([a, b, c, d])
}

/// The two 32-bit fields that lie in a word, in the order they lie in memory.
fn halves(word: u64) -> (u32, u32) {
    let bytes = word.to_ne_bytes();
    let half = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (half(0), half(4))
}

fn restore_vlan(packet: &mut Packet, tag: [u8; VLAN_TAG]) -> Option<()> {
    if packet.len() < VLAN_AT + 2 {
        return None;
    }
    // The virtio-net header has left the room that the tag needs.
    packet.prepend(VLAN_TAG).ok()?;
    let frame = packet.data_mut();
    frame.copy_within(VLAN_TAG..VLAN_TAG + VLAN_AT, 0);
    frame[VLAN_AT..VLAN_AT + VLAN_TAG].copy_from_slice(&tag);
    Some(())
}

impl RxQueue for PacketRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        if self.gone {
            return Err(interface::deleted(&self.socket.port()));
        }
        let before = batch.len();
        while batch.room() > 0 {
            let mut fresh = Batch::new();
            let wanted = self.pool.alloc_batch(self.burst.min(batch.room()), &mut fresh);
            let came = match wanted {
                0 => self.discard(batch.room()),
                _ => self.receive_into(&mut fresh, batch),
            };
            match came {
                Ok(came) => {
                    self.adapt(came);
                    if came < wanted || wanted == 0 {
                        break;
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => {
                        self.adapt(0);
                        break;
                    }
                    Some(libc::EINTR) => break,
                    // A kind of segment that a virtio-net header has no word for.
                    Some(libc::EINVAL) => self.socket.counters.received(0, 0, 1),
                    Some(libc::ENETDOWN) => {
                        self.gone = !self.socket.exists();
                        break;
                    }
                    _ => return Err(self.socket.system("receiving", error)),
                },
            }
        }
        if self.gone && batch.len() == before {
            return Err(interface::deleted(&self.socket.port()));
        }
        Ok(batch.len() - before)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.fd.as_fd())
    }
}

struct PacketTx {
    socket: Arc<Socket>,
    /// For the segments of UDP packets, where the kernel cannot cut them.
    pool: Pool,
    /// Whether the kernel can.
    udp: bool,
}

impl PacketTx {
    /// Offers the packets from `skip` on to the kernel; returns how many it took.
    fn send_from(&self, batch: &Batch, skip: usize) -> io::Result<usize> {
        // SAFETY: all-zero bytes are valid message headers, with null pointers and no lengths.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut virtio = [[0u8; VIRTIO_HEADER]; BATCH];
        let mut vectors = [[libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2]; BATCH];
        let parts = headers.iter_mut().zip(&mut virtio).zip(&mut vectors);
        let mut count = 0;
        for (((header, virtio), vectors), packet) in parts.zip(batch.iter().skip(skip)) {
            if self.wants_cutting(packet).is_some() {
                break;
            }
            count += 1;
            *virtio = packet.offload().to_virtio();
            let frame = packet.data();
            vectors[0] = libc::iovec { iov_base: virtio.as_mut_ptr().cast(), iov_len: VIRTIO_HEADER };
            vectors[1] = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
            (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (vectors.as_mut_ptr(), 2);
        }
        let fd = self.socket.fd.as_raw_fd();
        // SAFETY: the first `count` headers point to vectors that outlive the call, and these to bytes that the
        // kernel only reads and the batch keeps.
        let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl PacketTx {
    /// Sends the segments of a packet that the kernel cannot cut; what it has no room for is lost. Returns how many
    /// packets and bytes were sent, and how many lost.
    fn send_cut(&self, packet: &Packet, wanted: Segmentation) -> (u64, u64, u64) {
        let Ok(mut segments) = Segments::new(packet, wanted, true) else { return (0, 0, 1) };
        let (mut packets, mut bytes) = (0, 0);
        while !segments.is_empty() {
            let mut piece = Batch::new();
            let lost = segments.len() as u64;
            let Ok(segment) = segments.next_packet(&self.pool) else { return (packets, bytes, lost) };
            let len = segment.len() as u64;
            let _ = piece.push(segment);
            if self.send_from(&piece, 0).is_err() {
                return (packets, bytes, lost);
            }
            packets += 1;
            bytes += len;
        }
        (packets, bytes, 0)
    }

    fn wants_cutting(&self, packet: &Packet) -> Option<Segmentation> {
        packet.offload().segmentation.filter(|wanted| !self.udp && wanted.kind == SegmentKind::Udp)
    }
}

impl TxQueue for PacketTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let (mut taken, mut packets, mut bytes, mut dropped) = (0, 0, 0, 0);
        let mut result = Ok(());
        while taken < batch.len() {
            if let Some(wanted) = self.wants_cutting(&batch[taken]) {
                let (sent, len, lost) = self.send_cut(&batch[taken], wanted);
                (packets, bytes, dropped, taken) = (packets + sent, bytes + len, dropped + lost, taken + 1);
                continue;
            }
            match self.send_from(batch, taken) {
                Ok(sent) => {
                    bytes +=
                        batch.iter().skip(taken).take(sent).map(|packet| packet.len() as u64).sum::<u64>();
                    packets += sent as u64;
                    taken += sent;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR) => break,
                    Some(libc::ENXIO | libc::ENODEV) => {
                        result = Err(interface::deleted(&self.socket.port()));
                        break;
                    }
                    // The interface is down: nothing that waits would ever arrive in time.
                    Some(libc::ENETDOWN) => {
                        dropped += (batch.len() - taken) as u64;
                        taken = batch.len();
                    }
                    // A frame that is too long, too short or makes no sense to the kernel.
                    _ => {
                        dropped += 1;
                        taken += 1;
                    }
                },
            }
        }
        self.socket.counters.sent(packets, bytes, dropped);
        batch.drop_front(taken);
        if taken > 0 { Ok(taken) } else { result.map(|()| 0) }
    }
}
