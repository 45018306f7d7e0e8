//! The one XDP program that AF_XDP needs, by hand: it hands the frames of a queue to the socket of that queue
//! (`linux/bpf.h`, bpf(2)).
//!
//! It is attached through a `bpf_link`, whose descriptor detaches the program when it is closed. So the program
//! never outlives the process, however that ends.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_LINK_CREATE: i32 = 28;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;

/// `XDP_FLAGS_SKB_MODE`: the program runs after the kernel has built its own packet; every driver can.
pub(crate) const GENERIC: u32 = 1 << 1;
/// `XDP_FLAGS_DRV_MODE`: the program runs in the driver.
pub(crate) const NATIVE: u32 = 1 << 2;

/// `struct bpf_insn`: opcode, destination and source registers, offset, immediate.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// `return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);`
fn program(sockets: i32) -> [Instruction; 6] {
    const QUEUE_INDEX: i16 = 16; // offsetof(struct xdp_md, rx_queue_index)
    const PASS: i32 = 2;
    const REDIRECT_MAP: i32 = 51;
    [
        instruction(0x61, 2, 1, QUEUE_INDEX, 0), // r2 = *(u32 *)(r1 + 16)
        instruction(0x18, 1, 1, 0, sockets),     // r1 = map behind this descriptor (two slots)
        instruction(0x00, 0, 0, 0, 0),
        instruction(0xb7, 3, 0, 0, PASS), // r3 = what to return for a queue without a socket
        instruction(0x85, 0, 0, 0, REDIRECT_MAP),
        instruction(0x95, 0, 0, 0, 0),
    ]
}

/// The head of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries_max: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct MapUpdate {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instructions_len: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The head of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// # Safety
/// Every pointer in `attributes` is to memory of the length that the kernel expects, which outlives the call.
unsafe fn bpf<T>(command: i32, attributes: &T) -> io::Result<i32> {
    // SAFETY: pointer and length of a value that outlives the call; the rest is the caller's word.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the callers pass a descriptor that the kernel just gave out and nobody else has.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A map from queue numbers to AF_XDP sockets.
pub(crate) fn socket_map(queues: u32) -> io::Result<OwnedFd> {
    let attributes =
        MapCreate { kind: BPF_MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, entries_max: queues, flags: 0 };
    // SAFETY: no pointers.
    Ok(owned(unsafe { bpf(BPF_MAP_CREATE, &attributes) }?))
}

pub(crate) fn set_socket(map: &OwnedFd, queue: u32, socket: &OwnedFd) -> io::Result<()> {
    let value = socket.as_raw_fd() as u32;
    let attributes = MapUpdate {
        map: map.as_raw_fd() as u32,
        _pad: 0,
        key: std::ptr::from_ref(&queue) as u64,
        value: std::ptr::from_ref(&value) as u64,
        flags: 0,
    };
    // SAFETY: key and value are four bytes each, as the map was made.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &attributes) }.map(drop)
}

pub(crate) fn load(map: &OwnedFd) -> io::Result<OwnedFd> {
    let instructions = program(map.as_raw_fd());
    let attributes = ProgramLoad {
        kind: BPF_PROG_TYPE_XDP,
        instructions_len: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"weft_xsk\0\0\0\0\0\0\0\0",
        interface: 0,
        attach_type: BPF_XDP,
    };
    // SAFETY: the instructions and the zero-ended license outlive the call.
    Ok(owned(unsafe { bpf(BPF_PROG_LOAD, &attributes) }?))
}

/// Attaches the program until the descriptor that comes back is closed.
pub(crate) fn attach(program: &OwnedFd, interface: i32, mode: u32) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd() as u32,
        interface: interface as u32,
        attach_type: BPF_XDP,
        flags: mode,
    };
    // SAFETY: no pointers.
    Ok(owned(unsafe { bpf(BPF_LINK_CREATE, &attributes) }?))
}
