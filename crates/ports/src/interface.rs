//! What the kernel says of a network interface, asked through `ioctl` on any socket of its namespace
//! (netdevice(7)).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::{LinkState, PortError};

/// Bytes of an interface name without its final zero (`IFNAMSIZ`, `linux/if.h`).
pub(crate) const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// A socket to ask through. It keeps asking in the namespace that it was made in.
pub(crate) fn control_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// An `ifreq` for the interface of this name.
pub(crate) fn request(name: &str) -> io::Result<libc::ifreq> {
    if name.is_empty() || name.len() > NAME_MAX || name.bytes().any(|byte| byte == 0 || byte == b'/') {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    // SAFETY: all-zero bytes are a valid `ifreq`: it holds arrays, integers and nullable pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(request)
}

/// Runs an `ioctl` that reads and writes an `ifreq`.
pub(crate) fn ioctl(fd: impl AsFd, code: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: every code passed in takes a pointer to an `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), code, std::ptr::from_mut(request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn index(socket: impl AsFd, name: &str) -> io::Result<i32> {
    let mut request = request(name)?;
    ioctl(socket, libc::SIOCGIFINDEX as _, &mut request)?;
    // SAFETY: SIOCGIFINDEX filled this member.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The name of the interface with this number; `ENODEV` when it is gone.
pub(crate) fn name(socket: impl AsFd, index: i32) -> io::Result<String> {
    // SAFETY: as in `request`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index;
    ioctl(socket, libc::SIOCGIFNAME as _, &mut request)?;
    let name = request.ifr_name.iter().take_while(|&&byte| byte != 0).map(|byte| byte.cast_unsigned());
    String::from_utf8(name.collect()).map_err(io::Error::other)
}

/// Whether there is no longer an interface of this number.
pub(crate) fn is_gone(socket: impl AsFd, index: i32) -> bool {
    name(socket, index).is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
}

pub(crate) fn mtu(socket: impl AsFd, name: &str) -> io::Result<usize> {
    let mut request = request(name)?;
    ioctl(socket, libc::SIOCGIFMTU as _, &mut request)?;
    // SAFETY: SIOCGIFMTU filled this member.
    Ok(usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).unwrap_or(0))
}

/// The Ethernet address. On a TAP descriptor this works from any namespace.
pub(crate) fn mac(fd: impl AsFd, name: &str) -> io::Result<[u8; 6]> {
    let mut request = request(name)?;
    ioctl(fd, libc::SIOCGIFHWADDR as _, &mut request)?;
    // SAFETY: SIOCGIFHWADDR filled this member.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    Ok(std::array::from_fn(|at| address[at].cast_unsigned()))
}

/// Whether the interface is up with a carrier; an interface that is gone is down.
pub(crate) fn link(socket: impl AsFd, name: &str) -> LinkState {
    let Ok(mut request) = request(name) else { return LinkState::Down };
    if ioctl(socket, libc::SIOCGIFFLAGS as _, &mut request).is_err() {
        return LinkState::Down;
    }
    // SAFETY: SIOCGIFFLAGS filled this member.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    let wanted = libc::IFF_UP | libc::IFF_RUNNING;
    if flags & wanted == wanted { LinkState::Up } else { LinkState::Down }
}

/// Sets a socket option to a plain value.
pub(crate) fn set_option<T: Copy>(socket: impl AsFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and length are those of a value that outlives the call; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads a socket option that is a plain value.
pub(crate) fn option<T: Copy + Default>(socket: impl AsFd, level: i32, option: i32) -> io::Result<T> {
    let (mut value, mut len) = (T::default(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the pointer and length are those of a value that outlives the call; it is of integers only at every
    // place that calls this, so whatever the kernel writes is valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut len,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Says what the kernel's answer to opening an interface means.
pub(crate) fn missing(port: &str, name: &str, source: io::Error) -> PortError {
    match source.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => PortError::Missing {
            port: port.into(),
            what: format!("interface {name}"),
            remedy: "`ip link` lists the interfaces of this network namespace",
        },
        _ => PortError::System { port: port.into(), action: "asking for the interface", source },
    }
}

/// The error of a port whose interface was deleted under it.
pub(crate) fn deleted(name: &str) -> PortError {
    PortError::Missing {
        port: name.into(),
        what: "the interface".into(),
        remedy: "it was deleted while the port was open; create it and open the port again",
    }
}
