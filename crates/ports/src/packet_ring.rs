//! The receive ring of a packet socket: TPACKET_V3 (`Documentation/networking/packet_mmap.rst`).
//!
//! The kernel fills blocks with frames and hands a block over when it is full or when [`RETIRE_MS`] have passed, so
//! a lone frame waits that long. Blocks hold frames of any length, whole segments included.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use packet::{Batch, Packet, Pool, VIRTIO_HEADER};

use crate::packet_socket::{Socket, finish_receive, vlan_tag};
use crate::xdp_ring::Mapping;
use crate::{PortError, RxQueue, interface};

/// Bytes of a block: the least power of two that holds a segment of 64 KiB.
pub(crate) const BLOCK: usize = 128 << 10;
/// The most bytes of a ring.
const RING_MAX: usize = 1 << 30;
/// Milliseconds until the kernel hands over a block that is not full: the least it takes.
const RETIRE_MS: u32 = 1;
/// The nominal frame size; TPACKET_V3 packs frames of any length, but asks for one.
const FRAME: usize = 2048;
/// Empty receives between looks at the socket's error.
const IDLE_CHECK: u32 = 256;

const TPACKET_V3: i32 = 2;

pub(crate) struct RingRx {
    socket: Arc<Socket>,
    pool: Pool,
    map: Mapping,
    blocks: usize,
    /// The block being read, or to be read next.
    block: usize,
    /// Frames left in it and where the next lies, from the block's start; nothing before it is handed over.
    open: Option<(u32, usize)>,
    idle: u32,
    gone: bool,
}

impl RingRx {
    pub(crate) fn open(socket: Arc<Socket>, pool: Pool, bytes: usize) -> Result<Self, PortError> {
        let blocks = (bytes.min(RING_MAX) / BLOCK).max(2);
        interface::set_option(&socket.fd, libc::SOL_PACKET, libc::PACKET_VERSION, &TPACKET_V3)
            .map_err(|source| socket.system("choosing TPACKET_V3", source))?;
        // `struct tpacket_req3`: block size and count, frame size and count, retire time, private size, features.
        let request: [u32; 7] =
            [BLOCK as u32, blocks as u32, FRAME as u32, (blocks * BLOCK / FRAME) as u32, RETIRE_MS, 0, 0];
        interface::set_option(&socket.fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .map_err(|source| socket.system("making the receive ring", source))?;
        let map = Mapping::of(&socket.fd, blocks * BLOCK, 0)
            .map_err(|source| socket.system("mapping the receive ring", source))?;
        Ok(Self { socket, pool, map, blocks, block: 0, open: None, idle: 0, gone: false })
    }

    /// A 32-bit word of the current block.
    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes(at, 4)?;
        // SAFETY: in the mapping; the block is ours while it is open. The read does not ask for alignment.
        Some(unsafe { bytes.cast::<u32>().read_unaligned() })
    }

    fn bytes(&self, at: usize, len: usize) -> Option<*const [u8]> {
        if at.checked_add(len)? > BLOCK {
            return None;
        }
        self.map.range(self.block * BLOCK + at, len)
    }

    /// `tpacket_hdr_v1::block_status`, behind `version` and `offset_to_priv`.
    fn status(&self) -> Option<&AtomicU32> {
        let bytes = self.bytes(8, 4)?;
        // SAFETY: in the mapping, at a multiple of four; both sides use it atomically.
        Some(unsafe { AtomicU32::from_ptr(bytes.cast_mut().cast()) })
    }

    /// Frames left in the current block, if it is ours.
    fn enter(&mut self) -> Option<(u32, usize)> {
        if self.open.is_none() {
            let ready = self.status()?.load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
            // num_pkts and offset_to_first_pkt follow the status.
            self.open = Some((self.word(12)?, self.word(16)? as usize)).filter(|_| ready);
        }
        self.open
    }

    /// Hands the current block back.
    fn leave(&mut self) {
        self.open = None;
        if let Some(status) = self.status() {
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        self.block = (self.block + 1) % self.blocks;
    }

    /// The frame whose `tpacket3_hdr` lies at `at`: next_offset, sec, nsec, snaplen, len, status, mac and net (u16),
    /// rxhash, vlan_tci (u32), vlan_tpid (u16).
    fn take(&self, at: usize) -> Option<Packet> {
        let (snaplen, len, status) = (self.word(at + 12)?, self.word(at + 16)?, self.word(at + 20)?);
        let bytes = self.word(at + 24)?.to_ne_bytes();
        let mac = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        if snaplen < len {
            return None;
        }
        let tpid = self.word(at + 36)?.to_ne_bytes();
        let tag = vlan_tag(status, self.word(at + 32)? as u16, u16::from_ne_bytes([tpid[0], tpid[1]]));
        // The virtio-net header lies right in front of the frame.
        let len = VIRTIO_HEADER + snaplen as usize;
        let from = self.bytes((at + mac).checked_sub(VIRTIO_HEADER)?, len)?;
        let mut packet = self.pool.alloc()?;
        let _ = packet.prepend(VIRTIO_HEADER);
        packet.set_len(len).ok()?;
        // SAFETY: the block is ours until it is handed back, and no reference to its bytes outlives this line.
        packet.data_mut().copy_from_slice(unsafe { &*from });
        finish_receive(packet, len, tag)
    }

    /// Looks now and then whether the interface is still there; nothing else would say so.
    fn check(&mut self) -> Result<usize, PortError> {
        self.idle = self.idle.wrapping_add(1);
        if self.idle.is_multiple_of(IDLE_CHECK) {
            let _ = rustix::net::sockopt::socket_error(&self.socket.fd);
            self.gone = !self.socket.exists();
        }
        if self.gone { Err(interface::deleted(&self.socket.port())) } else { Ok(0) }
    }
}

impl RxQueue for RingRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let (mut packets, mut bytes, mut dropped) = (0, 0, 0);
        while batch.room() > 0 {
            let Some((left, at)) = self.enter() else { break };
            if left == 0 {
                self.leave();
                continue;
            }
            match self.take(at) {
                Some(packet) => {
                    packets += 1;
                    bytes += packet.len() as u64;
                    // There is room.
                    let _ = batch.push(packet);
                }
                None => dropped += 1,
            }
            let next = self.word(at).map_or(BLOCK, |offset| at.saturating_add(offset as usize));
            self.open = Some((left - 1, next));
            if left == 1 {
                self.leave();
            }
        }
        self.socket.counters.received(packets, bytes, dropped);
        if packets == 0 { self.check() } else { Ok(packets as usize) }
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.fd.as_fd())
    }
}
