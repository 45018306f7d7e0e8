//! TAP: the port behind a network interface that the kernel, or a container, uses (`linux/if_tun.h`).
//!
//! The kernel hands over frames with a virtio-net header, so a TCP segment of 64 KiB crosses in one piece, its
//! checksum undone; what is sent may be in the same state.
//!
//! # Why it looks like this
//!
//! - The header is read into the packet's headroom, so that one `read` fills the packet; sending gathers header
//!   and frame in one `writev`, which leaves the packet as it was when the kernel has no space.
//! - A frame that fills the whole buffer counts as cut off: the kernel reports no more than the buffer's size.
//!   A buffer therefore has to be larger than the largest frame, [`packet::ROOM_GSO`] with segmentation.
//! - No buffer is kept between calls: the pool's free list hands the buffer that was last used out first, and a
//!   thousand idle ports hold nothing.
//! - A namespace is entered by whoever opens the queues ([`open_queue`], [`attach_queue`]); the port works from any
//!   namespace.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use packet::{Batch, Offload, Packet, Pool, ROOM_GSO, SegmentKind, Segmentation, VIRTIO_HEADER};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::counters::{self, QueueCounters};
use crate::finish::Segments;
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue, interface};

/// The most queues of one interface (`MAX_TAP_QUEUES`, `drivers/net/tun.c`).
pub const QUEUES_MAX: usize = 256;

/// Bytes of a frame beyond the interface's MTU: Ethernet header and two VLAN tags.
const FRAME_OVERHEAD: usize = 14 + 8;

const TUN_F_CSUM: u32 = 0x01;
const TUN_F_TSO4: u32 = 0x02;
const TUN_F_TSO6: u32 = 0x04;
const TUN_F_TSO_ECN: u32 = 0x08;
const TUN_F_USO4: u32 = 0x20;
const TUN_F_USO6: u32 = 0x40;

/// How a TAP is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapConfig {
    /// How many queues, 1 to [`QUEUES_MAX`].
    pub queues: usize,
    /// Whether the kernel may hand over unsegmented TCP and UDP; needs buffers of [`ROOM_GSO`]. By default it may
    /// when the pool's buffers are that large.
    pub segmentation: Option<bool>,
    /// Whether the interface outlives the port.
    pub persistent: bool,
}

impl Default for TapConfig {
    fn default() -> Self {
        Self { queues: 1, segmentation: None, persistent: false }
    }
}

/// A TAP port.
pub struct Tap {
    info: PortInfo,
    /// Queues that were not handed out yet.
    queues: Vec<Option<Queue>>,
    counters: Vec<Arc<QueueCounters>>,
    /// The descriptor of each queue.
    fds: Vec<Arc<OwnedFd>>,
    /// A socket of the interface's namespace, where there is one to ask.
    control: Option<OwnedFd>,
    down: Arc<AtomicBool>,
}

struct Queue {
    rx: TapRx,
    tx: TapTx,
}

/// Opens one queue of the TAP `name` in the calling thread's network namespace, and makes the interface if it is
/// not there. What comes back may be passed to another process or namespace, and there to [`Tap::from_fds`].
///
/// # Errors
/// [`PortError`] when `/dev/net/tun` is missing or closed, or the interface is of another kind or in use.
pub fn open_queue(name: &str, persistent: bool) -> Result<OwnedFd, PortError> {
    let port = || format!("tap:{name}");
    let system = |action| move |source| PortError::System { port: format!("tap:{name}"), action, source };
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|error| match error {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => PortError::Missing {
            port: port(),
            what: "/dev/net/tun".into(),
            remedy: "load it with `modprobe tun`, or use a veth port",
        },
        Errno::ACCESS | Errno::PERM => PortError::Privilege {
            port: port(),
            action: "opening /dev/net/tun",
            remedy: "`chmod 666 /dev/net/tun` lets everybody use it, or use a veth port",
            source: error.into(),
        },
        other => PortError::System { port: port(), action: "opening /dev/net/tun", source: other.into() },
    })?;
    let option = |problem| PortError::Option { port: port(), option: format!("name {name}"), problem };
    let mut request =
        interface::request(name).map_err(|_| option("an interface name has 1 to 15 bytes and no slash"))?;
    let base = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let attach = |request: &mut libc::ifreq, flags: i32| {
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        interface::ioctl(&fd, libc::TUNSETIFF as _, request)
    };
    // An interface that was made with a single queue refuses the multi-queue flag.
    let attached = match attach(&mut request, base | libc::IFF_MULTI_QUEUE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => attach(&mut request, base),
        other => other,
    };
    attached.map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM) => PortError::Privilege {
            port: port(),
            action: "making a TAP interface",
            remedy: "run as root, or make it first with `ip tuntap add mode tap user $USER`",
            source,
        },
        Some(libc::EINVAL) => option("an interface of that name exists and is no TAP, or has other flags"),
        Some(libc::EBUSY) => option("another program has this TAP open"),
        Some(libc::E2BIG) => option("all its queues are in use"),
        _ => PortError::System { port: port(), action: "attaching to the TAP", source },
    })?;
    ioctl_pointer(&fd, libc::TUNSETVNETHDRSZ as _, &(VIRTIO_HEADER as i32))
        .map_err(system("setting the virtio-net header size"))?;
    if persistent {
        ioctl_value(&fd, libc::TUNSETPERSIST as _, 1).map_err(system("making the TAP persistent"))?;
    }
    Ok(fd)
}

/// Opens one queue of the TAP `name` in the calling thread's network namespace, as [`open_queue`], but makes no
/// interface: for one that others have made to last.
///
/// # Errors
/// [`PortError::Missing`] when there is no such interface; otherwise as [`open_queue`].
pub fn attach_queue(name: &str) -> Result<OwnedFd, PortError> {
    let port = format!("tap:{name}");
    let index = interface::control_socket().and_then(|socket| interface::index(socket, name));
    index.map_err(|source| interface::missing(&port, name, source))?;
    open_queue(name, false)
}

impl Tap {
    /// Opens a TAP by name in the calling thread's network namespace, and makes the interface if it is not there.
    ///
    /// # Errors
    /// As [`open_queue`] and [`Tap::from_fds`].
    pub fn open(name: &str, config: &TapConfig, pool: &Pool) -> Result<Self, PortError> {
        if !(1..=QUEUES_MAX).contains(&config.queues) {
            return Err(PortError::Option {
                port: format!("tap:{name}"),
                option: format!("queues={}", config.queues),
                problem: "a TAP has 1 to 256 queues",
            });
        }
        let fds = (0..config.queues).map(|_| open_queue(name, config.persistent));
        let fds = fds.collect::<Result<Vec<_>, _>>()?;
        let control = interface::control_socket().map_err(|source| PortError::System {
            port: format!("tap:{name}"),
            action: "opening a control socket",
            source,
        })?;
        Self::from_fds(name, fds, Some(control), config.segmentation, pool)
    }

    /// A port over queues that [`open_queue`] or [`attach_queue`] opened, perhaps in another namespace.
    ///
    /// `name` is the interface's name there. `control` is any socket that was made there; without one, the link
    /// state is what sending last found, and the MTU is taken to be 1500.
    ///
    /// # Errors
    /// [`PortError::Option`] when the pool's buffers are too small, [`PortError::System`] when a descriptor is no
    /// TAP queue.
    pub fn from_fds(
        name: &str,
        fds: Vec<OwnedFd>,
        control: Option<OwnedFd>,
        segmentation: Option<bool>,
        pool: &Pool,
    ) -> Result<Self, PortError> {
        let system = |action| move |source| PortError::System { port: format!("tap:{name}"), action, source };
        let mtu = control.as_ref().and_then(|socket| interface::mtu(socket, name).ok()).unwrap_or(1500);
        let segmentation = segmentation.unwrap_or(pool.room() >= ROOM_GSO);
        check_room(name, pool, segmentation, mtu)?;
        let first = fds.first().ok_or_else(|| PortError::Option {
            port: format!("tap:{name}"),
            option: "queues=0".into(),
            problem: "a TAP has 1 to 256 queues",
        })?;
        let mac = interface::mac(first, name).map_err(system("asking for the TAP's address"))?;
        let mut offloads = Offloads::default();
        for fd in &fds {
            rustix::io::ioctl_fionbio(fd, true).map_err(io::Error::from).map_err(system("not blocking"))?;
            offloads = set_offloads(fd, segmentation).map_err(system("setting offloads"))?;
        }
        let down = Arc::new(AtomicBool::new(false));
        let counters: Vec<Arc<QueueCounters>> = fds.iter().map(|_| Arc::default()).collect();
        let name: Arc<str> = name.into();
        let fds: Vec<Arc<OwnedFd>> = fds.into_iter().map(Arc::new).collect();
        let queue = |(fd, counters): (&Arc<OwnedFd>, &Arc<QueueCounters>)| {
            let (fd, counters) = (fd.clone(), counters.clone());
            let shared = Shared { name: name.clone(), fd, counters, down: down.clone() };
            Some(Queue {
                rx: TapRx { shared: shared.clone(), pool: pool.clone() },
                tx: TapTx { shared, pool: pool.clone(), udp: offloads.udp_segmentation },
            })
        };
        let queues: Vec<_> = fds.iter().zip(&counters).map(queue).collect();
        let info = PortInfo {
            name: name.to_string(),
            kind: "tap",
            mac: Some(mac),
            mtu,
            queues: queues.len(),
            offloads,
        };
        Ok(Self { info, queues, counters, fds, control, down })
    }
}

/// A port over the descriptors that another process has duplicated.
pub(crate) fn adopt(
    name: &str,
    config: &TapConfig,
    mut fds: Vec<OwnedFd>,
    pool: &Pool,
) -> Result<Tap, PortError> {
    let control = if fds.len() > config.queues { fds.pop() } else { None };
    Tap::from_fds(name, fds, control, config.segmentation, pool)
}

/// Checks that no frame fills a buffer of the pool.
fn check_room(name: &str, pool: &Pool, segmentation: bool, mtu: usize) -> Result<(), PortError> {
    let error =
        |option: String, problem| Err(PortError::Option { port: format!("tap:{name}"), option, problem });
    if segmentation && pool.room() < ROOM_GSO {
        return error("gso=on".into(), "segmentation needs a pool with buffers of packet::ROOM_GSO bytes");
    }
    if pool.room() <= mtu + FRAME_OVERHEAD {
        return error(format!("mtu {mtu}"), "the pool's buffers are smaller than a frame of the interface");
    }
    Ok(())
}

/// Tells the kernel what it may leave to us, the most it knows of, and returns what we may leave to it: the same,
/// save that a kernel always takes TCP segments.
fn set_offloads(fd: &OwnedFd, segmentation: bool) -> io::Result<Offloads> {
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    let udp = TUN_F_USO4 | TUN_F_USO6;
    // Whether the kernel knows UDP segmentation (Linux 6.2) is asked even when it is then switched off again.
    let udp_segmentation = ioctl_value(fd, libc::TUNSETOFFLOAD as _, tcp | udp).is_ok();
    if !segmentation {
        ioctl_value(fd, libc::TUNSETOFFLOAD as _, TUN_F_CSUM)?;
    } else if !udp_segmentation {
        ioctl_value(fd, libc::TUNSETOFFLOAD as _, tcp)?;
    }
    Ok(Offloads { checksum: true, tcp_segmentation: true, udp_segmentation })
}

fn ioctl_value(fd: &OwnedFd, code: libc::Ioctl, value: u32) -> io::Result<()> {
    // SAFETY: the codes passed in take a plain number.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), code, libc::c_ulong::from(value)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn ioctl_pointer(fd: &OwnedFd, code: libc::Ioctl, value: &i32) -> io::Result<()> {
    // SAFETY: the codes passed in read an `int` through the pointer, which outlives the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), code, std::ptr::from_ref(value)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Port for Tap {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        match &self.control {
            Some(socket) => interface::link(socket, &self.info.name),
            None if self.down.load(Ordering::Relaxed) => LinkState::Down,
            None => LinkState::Unknown,
        }
    }

    fn counters(&self) -> Counters {
        counters::total(self.counters.iter().map(|queue| &**queue))
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let Queue { rx, tx } = self.queues.get_mut(index)?.take()?;
        Some((Box::new(rx), Box::new(tx)))
    }

    /// The queues', and the control socket's behind them.
    fn duplicate(&self) -> io::Result<Option<Vec<OwnedFd>>> {
        let fds = self.fds.iter().map(|fd| &**fd).chain(&self.control);
        fds.map(OwnedFd::try_clone).collect::<io::Result<_>>().map(Some)
    }
}

/// What both directions of a queue have.
#[derive(Clone)]
struct Shared {
    name: Arc<str>,
    fd: Arc<OwnedFd>,
    counters: Arc<QueueCounters>,
    down: Arc<AtomicBool>,
}

impl Shared {
    fn error(&self, action: &'static str, error: Errno) -> PortError {
        match error {
            Errno::BADFD => interface::deleted(&self.name),
            other => PortError::System { port: format!("tap:{}", self.name), action, source: other.into() },
        }
    }
}

struct TapRx {
    shared: Shared,
    pool: Pool,
}

impl TapRx {
    /// Reads one frame into an empty packet: `None` when it had to be dropped.
    fn read(&self, mut packet: Packet) -> Result<Option<Packet>, Errno> {
        if packet.prepend(VIRTIO_HEADER).is_err() {
            // A pool without headroom: the header takes room, and the frame starts behind it all the same.
            packet.set_len(0).map_err(|_| Errno::NOBUFS)?;
        }
        let room = packet.room_mut();
        let size = room.len();
        let read = rustix::io::read(&*self.shared.fd, room)?;
        if read == size || packet.set_len(read).is_err() {
            return Ok(None);
        }
        let Some(header) = packet.data().first_chunk() else { return Ok(None) };
        let Ok(offload) = Offload::from_virtio(header) else { return Ok(None) };
        packet.trim_front(VIRTIO_HEADER);
        packet.set_offload(offload);
        Ok(Some(packet))
    }

    /// Takes a frame out of the kernel when there is no buffer for it; whether there was one.
    fn discard(&self) -> Result<bool, Errno> {
        match rustix::io::read(&*self.shared.fd, &mut [0u8; VIRTIO_HEADER + 1]) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl RxQueue for TapRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let (mut packets, mut bytes, mut dropped) = (0, 0, 0);
        let mut result = Ok(());
        for _ in 0..batch.room() {
            let read = match self.pool.alloc() {
                Some(packet) => self.read(packet),
                None => match self.discard() {
                    Ok(true) => Ok(None),
                    Ok(false) => break,
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(Some(packet)) => {
                    packets += 1;
                    bytes += packet.len() as u64;
                    // The loop runs no longer than there is room.
                    let _ = batch.push(packet);
                }
                Ok(None) => dropped += 1,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => {
                    result = Err(self.shared.error("receiving", error));
                    break;
                }
            }
        }
        self.shared.counters.received(packets, bytes, dropped);
        // What came before an error is delivered first; the error comes again at the next call.
        if packets > 0 { Ok(packets as usize) } else { result.map(|()| 0) }
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.shared.fd.as_fd())
    }
}

struct TapTx {
    shared: Shared,
    /// For the segments of UDP packets, where the kernel cannot cut them.
    pool: Pool,
    /// Whether the kernel can.
    udp: bool,
}

impl TapTx {
    fn write(&self, packet: &Packet) -> Result<usize, Errno> {
        let header = packet.offload().to_virtio();
        let frame = [IoSlice::new(&header), IoSlice::new(packet.data())];
        rustix::io::writev(&*self.shared.fd, &frame)
    }

    /// Writes the segments of a packet that the kernel cannot cut. Returns how many packets and bytes were written,
    /// and how many packets lost.
    fn write_cut(&self, packet: &Packet, wanted: Segmentation) -> (u64, u64, u64) {
        let Ok(mut segments) = Segments::new(packet, wanted, true) else { return (0, 0, 1) };
        let (mut packets, mut bytes) = (0, 0);
        while !segments.is_empty() {
            let lost = segments.len() as u64;
            let Ok(segment) = segments.next_packet(&self.pool) else { return (packets, bytes, lost) };
            if self.write(&segment).is_err() {
                return (packets, bytes, lost);
            }
            packets += 1;
            bytes += segment.len() as u64;
        }
        (packets, bytes, 0)
    }
}

impl TxQueue for TapTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let (mut taken, mut packets, mut bytes, mut dropped) = (0, 0, 0, 0);
        let mut result = Ok(());
        for packet in &*batch {
            let wanted = packet.offload().segmentation;
            if let Some(wanted) = wanted.filter(|wanted| !self.udp && wanted.kind == SegmentKind::Udp) {
                let (written, len, lost) = self.write_cut(packet, wanted);
                (packets, bytes, dropped, taken) =
                    (packets + written, bytes + len, dropped + lost, taken + 1);
                continue;
            }
            match self.write(packet) {
                Ok(_) => {
                    packets += 1;
                    bytes += packet.len() as u64;
                }
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => break,
                Err(error @ (Errno::BADFD | Errno::BADF)) => {
                    result = Err(self.shared.error("sending", error));
                    break;
                }
                Err(error) => {
                    // EIO: the interface is down. The rest: a frame that the kernel cannot make sense of.
                    if error == Errno::IO {
                        self.shared.down.store(true, Ordering::Relaxed);
                    }
                    dropped += 1;
                }
            }
            taken += 1;
        }
        if packets > 0 && self.shared.down.load(Ordering::Relaxed) {
            self.shared.down.store(false, Ordering::Relaxed);
        }
        self.shared.counters.sent(packets, bytes, dropped);
        batch.drop_front(taken);
        if taken > 0 { Ok(taken) } else { result.map(|()| 0) }
    }
}
