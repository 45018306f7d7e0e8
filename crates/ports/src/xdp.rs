//! AF_XDP: frames from the driver's own receive path, before the kernel has made packets of them
//! (`Documentation/networking/af_xdp.rst`, `linux/if_xdp.h`). Needs Linux 5.9 for `bpf_link`.
//!
//! ```text
//!            UMEM: chunks shared with the kernel
//!  fill ring ─▶ [ rx chunks ] ─▶ rx ring ─▶ copy ─▶ Packet
//!  Packet ─▶ copy ─▶ [ tx chunks ] ─▶ tx ring ─▶ kernel ─▶ completion ring ─▶ free list
//! ```
//!
//! # Why it looks like this
//!
//! - The UMEM is the port's own, and frames are copied between it and the pool. A pool that is the UMEM would save
//!   that copy, but tie every packet of a process to one interface and one chunk layout, and let the kernel write to
//!   buffers that other ports send. The copy is of one frame in the cache, at most a page.
//! - Half of the chunks are for receiving and half for sending, so the two directions share nothing but the mapping
//!   and need no lock.
//! - `XDP_USE_NEED_WAKEUP`: the kernel says when it wants a system call; under load it mostly does not.
//! - The mode is the best that works: native with zero copy, native with copy, generic with copy.
//!   [`XdpPort::mode`] says which it is.
//!
//! XDP frames have no offload state: this port finishes checksums and segments before it sends. What a veth peer
//! sends arrives with partial checksums that nothing marks; turn them off there (`ethtool -K eth0 tx off`).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use packet::{Batch, Packet, Pool};

use crate::counters::{self, QueueCounters};
use crate::finish::{self, Segments};
use crate::xdp_ring::{Descriptor, Mapping, Ring, Rings};
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue, bpf, interface};

/// The most queues of one port.
pub const QUEUES_MAX: usize = 64;
/// The most chunks in one ring.
pub const RING_MAX: u32 = 1 << 15;

/// What the driver keeps free in front of a frame (`XDP_PACKET_HEADROOM`).
const DRIVER_HEADROOM: usize = 256;
/// Ethernet header and one VLAN tag.
const FRAME_OVERHEAD: usize = 14 + 4;
/// Empty receives between looks at whether the interface is still there.
const IDLE_CHECK: u32 = 256;
/// System calls that one send makes at most; the kernel takes 32 frames at each (`TX_BATCH_SIZE`).
const KICKS_MAX: usize = 64;

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver if it can, else behind it.
    #[default]
    Auto,
    /// In the driver.
    Native,
    /// Behind the driver, which works with every interface.
    Generic,
}

/// How an AF_XDP port is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpConfig {
    /// How many of the interface's queues, from the first on.
    pub queues: usize,
    /// Where the program runs.
    pub mode: XdpMode,
    /// Chunks in each direction; a power of two up to [`RING_MAX`].
    pub ring: u32,
}

impl Default for XdpConfig {
    fn default() -> Self {
        Self { queues: 1, mode: XdpMode::Auto, ring: 1024 }
    }
}

/// An AF_XDP port.
pub struct XdpPort {
    info: PortInfo,
    queues: Vec<Option<(XdpRx, XdpTx)>>,
    sockets: Vec<Arc<Socket>>,
    control: Arc<OwnedFd>,
    native: bool,
}

/// What the two directions of a queue share.
struct Socket {
    fd: OwnedFd,
    /// A plain socket of the interface's namespace: AF_XDP sockets answer no questions about interfaces.
    control: Arc<OwnedFd>,
    umem: Mapping,
    zero_copy: bool,
    interface: i32,
    name: Arc<str>,
    counters: QueueCounters,
    /// Holds the program at the interface while any queue is in use.
    _link: Arc<OwnedFd>,
}

impl XdpPort {
    /// Opens a port on the interface `name` of the calling thread's network namespace. While it is open, the frames
    /// of its queues come here and no longer to the kernel.
    ///
    /// # Errors
    /// [`PortError`] without the capabilities, without the interface, or when the driver cannot do what `config`
    /// asks for.
    pub fn open(name: &str, config: &XdpConfig, pool: &Pool) -> Result<Self, PortError> {
        let failure = Failure { name };
        config.check(name)?;
        let control = Arc::new(interface::control_socket().map_err(failure.at("opening a control socket"))?);
        let missing = |source| interface::missing(&format!("xdp:{name}"), name, source);
        let index = interface::index(&control, name).map_err(missing)?;
        let mtu = interface::mtu(&control, name).map_err(missing)?;
        let chunk = chunk_size(name, mtu, pool)?;
        let map = bpf::socket_map(config.queues as u32).map_err(failure.at("making an XSKMAP"))?;
        let program = bpf::load(&map).map_err(failure.at("loading the XDP program"))?;
        let (link, native) =
            attach(&program, index, config.mode).map_err(failure.at("attaching the XDP program"))?;
        let (link, shared_name) = (Arc::new(link), Arc::<str>::from(name));
        let (mut queues, mut sockets) = (Vec::new(), Vec::new());
        for queue in 0..config.queues as u32 {
            let opened = open_socket(index, queue, config.ring, chunk, native);
            let (fd, umem, rings, zero_copy) =
                opened.map_err(|(action, source)| failure.at(action)(source))?;
            bpf::set_socket(&map, queue, &fd).map_err(failure.at("entering the socket into the XSKMAP"))?;
            let socket = Arc::new(Socket {
                fd,
                control: control.clone(),
                umem,
                zero_copy,
                interface: index,
                name: shared_name.clone(),
                counters: QueueCounters::default(),
                _link: link.clone(),
            });
            let Rings { fill, rx, tx, completion } = rings;
            let ring = u64::from(config.ring);
            let free = (ring..2 * ring).map(|number| number * chunk as u64).collect();
            let rx = XdpRx { socket: socket.clone(), pool: pool.clone(), fill, rx, idle: 0 };
            let frame_max = mtu + FRAME_OVERHEAD;
            let tx = XdpTx { socket: socket.clone(), tx, completion, free, chunk, frame_max, pending: 0 };
            queues.push(Some((rx, tx)));
            sockets.push(socket);
        }
        let info = PortInfo {
            name: name.into(),
            kind: "xdp",
            mac: interface::mac(&control, name).ok(),
            mtu,
            queues: config.queues,
            offloads: Offloads::default(),
        };
        Ok(Self { info, queues, sockets, control, native })
    }

    /// How it came to run: `native, zero-copy`, `native, copy` or `generic, copy`.
    pub fn mode(&self) -> &'static str {
        let zero_copy = self.sockets.iter().all(|socket| socket.zero_copy);
        match (self.native, zero_copy) {
            (true, true) => "native, zero-copy",
            (true, false) => "native, copy",
            (false, _) => "generic, copy",
        }
    }
}

impl XdpConfig {
    fn check(&self, name: &str) -> Result<(), PortError> {
        let error = |option, problem| Err(PortError::Option { port: format!("xdp:{name}"), option, problem });
        if !(1..=QUEUES_MAX).contains(&self.queues) {
            return error(format!("queues={}", self.queues), "an AF_XDP port has 1 to 64 queues");
        }
        if !self.ring.is_power_of_two() || !(64..=RING_MAX).contains(&self.ring) {
            return error(format!("ring={}", self.ring), "a ring has a power of two of chunks, 64 to 32768");
        }
        Ok(())
    }
}

/// Bytes of a UMEM chunk that holds a frame: half a page or a page, as the kernel allows.
fn chunk_size(name: &str, mtu: usize, pool: &Pool) -> Result<usize, PortError> {
    let error = |problem| {
        Err(PortError::Option { port: format!("xdp:{name}"), option: format!("mtu {mtu}"), problem })
    };
    let frame = mtu + FRAME_OVERHEAD;
    if pool.room() < frame {
        return error("the pool's buffers are smaller than a frame of the interface");
    }
    match [2048, 4096].into_iter().find(|chunk| chunk - DRIVER_HEADROOM >= frame) {
        Some(chunk) => Ok(chunk),
        None => error("AF_XDP takes frames of up to a page: lower it with `ip link set dev … mtu 3500`"),
    }
}

/// Says of a system call's failure what to do about it.
struct Failure<'a> {
    name: &'a str,
}

impl Failure<'_> {
    fn at(&self, action: &'static str) -> impl FnOnce(io::Error) -> PortError {
        let port = format!("xdp:{}", self.name);
        move |source| match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => PortError::Privilege {
                port,
                action,
                remedy: "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF",
                source,
            },
            Some(libc::ENOBUFS) => PortError::Privilege {
                port,
                action,
                remedy: "raise the limit on locked memory (`ulimit -l unlimited`)",
                source,
            },
            Some(libc::EBUSY) => PortError::Option {
                port,
                option: action.into(),
                problem: "another XDP program or AF_XDP socket has the interface or its queue",
            },
            Some(libc::EOPNOTSUPP) => PortError::Option {
                port,
                option: action.into(),
                problem: "the driver has no native XDP: use mode=generic",
            },
            Some(libc::EAFNOSUPPORT | libc::ENOSYS) => PortError::Missing {
                port,
                what: "AF_XDP in this kernel".into(),
                remedy: "it needs CONFIG_XDP_SOCKETS and CONFIG_BPF_SYSCALL; use a packet port",
            },
            _ => PortError::System { port, action, source },
        }
    }
}

fn attach(program: &OwnedFd, interface: i32, mode: XdpMode) -> io::Result<(OwnedFd, bool)> {
    let native = || bpf::attach(program, interface, bpf::NATIVE).map(|link| (link, true));
    let generic = || bpf::attach(program, interface, bpf::GENERIC).map(|link| (link, false));
    match mode {
        XdpMode::Native => native(),
        XdpMode::Generic => generic(),
        XdpMode::Auto => native().or_else(|error| match error.raw_os_error() {
            Some(libc::EBUSY | libc::EPERM) => Err(error),
            _ => generic(),
        }),
    }
}

type Opened = (OwnedFd, Mapping, Rings, bool);

/// A socket with its UMEM and rings, bound to a queue; the receiving half of the chunks is in the fill ring.
fn open_socket(
    interface: i32,
    queue: u32,
    ring: u32,
    chunk: usize,
    native: bool,
) -> Result<Opened, (&'static str, io::Error)> {
    let at = |action| move |source| (action, source);
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(("opening an AF_XDP socket", io::Error::last_os_error()));
    }
    // SAFETY: a descriptor that the kernel just gave out and nobody else has.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let umem = Mapping::anonymous(2 * ring as usize * chunk).map_err(at("mapping the UMEM"))?;
    // SAFETY: all-zero bytes are a valid `xdp_umem_reg`: it holds integers only.
    let mut registration: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
    registration.addr = umem.address() as u64;
    registration.len = umem.len() as u64;
    registration.chunk_size = chunk as u32;
    interface::set_option(&fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
        .map_err(at("registering the UMEM"))?;
    let mut rings = Rings::map(&fd, ring).map_err(at("mapping the rings"))?;
    for number in 0..ring {
        rings.fill.put(number, u64::from(number) * chunk as u64);
    }
    rings.fill.publish(ring);
    let wakeup = libc::XDP_USE_NEED_WAKEUP;
    let zero_copy = native && bind(&fd, interface, queue, wakeup | libc::XDP_ZEROCOPY).is_ok();
    if !zero_copy {
        bind(&fd, interface, queue, wakeup | libc::XDP_COPY).map_err(at("binding to the queue"))?;
    }
    Ok((fd, umem, rings, zero_copy))
}

fn bind(fd: &OwnedFd, interface: i32, queue: u32, flags: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: interface as u32,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let (pointer, len) = (std::ptr::from_ref(&address).cast(), size_of_val(&address) as u32);
    // SAFETY: pointer and length of a `sockaddr_xdp` that outlives the call.
    if unsafe { libc::bind(fd.as_raw_fd(), pointer, len) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

impl Socket {
    fn deleted(&self) -> Option<PortError> {
        let gone = interface::is_gone(&self.control, self.interface);
        gone.then(|| interface::deleted(&format!("xdp:{}", self.name)))
    }

    /// Frames that the kernel had no chunk or no room for.
    fn overruns(&self) -> u64 {
        // `struct xdp_statistics`: rx_dropped, rx_invalid_descs, tx_invalid_descs, rx_ring_full,
        // rx_fill_ring_empty_descs, tx_ring_empty_descs. A full rx ring and an empty fill ring show up in rx_dropped
        // only in part; the counters do not overlap.
        let all = interface::option::<[u64; 6]>(&self.fd, libc::SOL_XDP, libc::XDP_STATISTICS);
        all.map_or(0, |[dropped, _, _, full, _, _]| dropped + full)
    }
}

impl Port for XdpPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        match interface::name(&self.control, self.sockets[0].interface) {
            Ok(name) => interface::link(&self.control, &name),
            Err(_) => LinkState::Down,
        }
    }

    fn counters(&self) -> Counters {
        let mut sum = counters::total(self.sockets.iter().map(|socket| &socket.counters));
        sum.rx_dropped += self.sockets.iter().map(|socket| socket.overruns()).sum::<u64>();
        sum
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (rx, tx) = self.queues.get_mut(index)?.take()?;
        Some((Box::new(rx), Box::new(tx)))
    }
}

struct XdpRx {
    socket: Arc<Socket>,
    pool: Pool,
    fill: Ring<u64>,
    rx: Ring<Descriptor>,
    /// Receives in a row that found nothing.
    idle: u32,
}

impl XdpRx {
    fn take(&self, descriptor: Descriptor) -> Option<Packet> {
        let frame = self.socket.umem.range(descriptor.addr as usize, descriptor.len as usize)?;
        let mut packet = self.pool.alloc()?;
        packet.set_len(frame.len()).ok()?;
        // SAFETY: the kernel has given this chunk to us and does not touch it until it is in the fill ring again.
        unsafe {
            std::ptr::copy_nonoverlapping(frame.cast::<u8>(), packet.data_mut().as_mut_ptr(), frame.len());
        };
        Some(packet)
    }
}

impl RxQueue for XdpRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let waiting = self.rx.filled().min(batch.room() as u32);
        if waiting == 0 {
            self.idle = self.idle.wrapping_add(1);
            let check = self.idle.is_multiple_of(IDLE_CHECK);
            return match check.then(|| self.socket.deleted()).flatten() {
                Some(error) => Err(error),
                None => Ok(0),
            };
        }
        self.idle = 0;
        let (mut packets, mut bytes) = (0, 0);
        for at in 0..waiting {
            let descriptor = self.rx.get(at);
            if let Some(packet) = self.take(descriptor) {
                packets += 1;
                bytes += packet.len() as u64;
                // No more were taken than there is room for.
                let _ = batch.push(packet);
            }
            // As many chunks go back as were taken, and the fill ring has a place for every receiving chunk.
            self.fill.put(at, descriptor.addr);
        }
        self.rx.release(waiting);
        self.fill.publish(waiting);
        if self.fill.needs_wakeup() {
            // SAFETY: no buffer is passed; the call only wakes the driver.
            unsafe {
                let (fd, nothing) = (self.socket.fd.as_raw_fd(), std::ptr::null_mut());
                libc::recvfrom(
                    fd,
                    nothing,
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                );
            }
        }
        self.socket.counters.received(packets, bytes, u64::from(waiting) - packets);
        Ok(packets as usize)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.fd.as_fd())
    }
}

struct XdpTx {
    socket: Arc<Socket>,
    tx: Ring<Descriptor>,
    completion: Ring<u64>,
    /// Chunks that are ours.
    free: Vec<u64>,
    chunk: usize,
    frame_max: usize,
    /// Frames written behind the tx ring's published end.
    pending: u32,
}

impl XdpTx {
    /// Takes back the chunks that the kernel has sent.
    fn reap(&mut self) {
        let sent = self.completion.filled();
        for at in 0..sent {
            self.free.push(self.completion.get(at));
        }
        self.completion.release(sent);
    }

    /// Puts one frame into the tx ring, which the caller knows to have room; `write` says how long it is.
    fn put(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let addr = self.free.pop()?;
        let written = self.socket.umem.range(addr as usize, self.chunk).and_then(|chunk| {
            // SAFETY: the chunk came off the free list, so neither the kernel nor anybody else uses it.
            write(unsafe { &mut *chunk.cast_mut() })
        });
        let Some(len) = written else {
            self.free.push(addr);
            return None;
        };
        self.tx.put(self.pending, Descriptor { addr, len: len as u32, options: 0 });
        self.pending += 1;
        Some(len)
    }

    /// Puts a packet, or its segments, into the tx ring; how many frames and bytes that were.
    fn put_packet(&mut self, packet: &mut Packet) -> Put {
        let Some(wanted) = packet.offload().segmentation else {
            if packet.len() > self.frame_max || finish::complete(packet).is_err() {
                return Put::Never;
            }
            if self.free.is_empty() {
                return Put::NotNow;
            }
            let frame = packet.data();
            let copied = self.put(|chunk| {
                chunk.get_mut(..frame.len())?.copy_from_slice(frame);
                Some(frame.len())
            });
            return copied.map_or(Put::Never, |len| Put::Done(1, len as u64));
        };
        let Ok(mut segments) = Segments::new(packet, wanted, false) else { return Put::Never };
        let count = segments.len();
        if segments.frame_len_max() > self.frame_max || count > self.tx.size() as usize {
            return Put::Never;
        }
        if count > self.free.len() {
            return Put::NotNow;
        }
        let mut bytes = 0;
        while let Some(len) = self.put(|chunk| segments.write_next(chunk)) {
            bytes += len as u64;
        }
        Put::Done(count as u64, bytes)
    }

    /// Tells the kernel to send, until it has taken everything or has no room.
    fn kick(&self) -> io::Result<()> {
        for _ in 0..KICKS_MAX {
            if !self.tx.needs_wakeup() {
                return Ok(());
            }
            // SAFETY: no buffer is passed; the call only tells the kernel to look at the ring.
            let sent = unsafe {
                let (fd, nothing) = (self.socket.fd.as_raw_fd(), std::ptr::null());
                libc::sendto(fd, nothing, 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
            };
            if sent < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    // The budget of one call was used up.
                    Some(libc::EAGAIN) if self.tx.unread() > 0 => continue,
                    Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR | libc::ENETDOWN) => {}
                    _ => return Err(error),
                }
            }
            return Ok(());
        }
        Ok(())
    }
}

/// What became of a packet.
enum Put {
    /// Frames and bytes.
    Done(u64, u64),
    NotNow,
    Never,
}

impl TxQueue for XdpTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        self.reap();
        let (mut taken, mut packets, mut bytes, mut dropped) = (0, 0, 0, 0);
        for packet in batch.iter_mut() {
            match self.put_packet(packet) {
                Put::Done(frames, len) => {
                    packets += frames;
                    bytes += len;
                }
                Put::Never => dropped += 1,
                Put::NotNow => break,
            }
            taken += 1;
        }
        self.tx.publish(std::mem::take(&mut self.pending));
        let kicked = if self.tx.unread() > 0 { self.kick() } else { Ok(()) };
        self.socket.counters.sent(packets, bytes, dropped);
        batch.drop_front(taken);
        match kicked {
            Err(source) => Err(self.socket.deleted().unwrap_or_else(|| PortError::System {
                port: format!("xdp:{}", self.socket.name),
                action: "sending",
                source,
            })),
            Ok(()) => Ok(taken),
        }
    }
}
