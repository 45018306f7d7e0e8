//! `SOCK_SEQPACKET` Unix sockets by path, or by abstract name behind `@` (unix(7)).

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::PortError;

/// The address of a path, or of the abstract name behind `@`.
pub(crate) fn address(path: &str) -> Result<SocketAddrUnix, Errno> {
    match path.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(path),
    }
}

/// A socket that does not block.
pub(crate) fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// A listening socket of `port`, which is named in errors. What a killed process left at the path is replaced.
pub(crate) fn listener(
    port: &str,
    path: &str,
    address: &SocketAddrUnix,
    backlog: i32,
) -> Result<OwnedFd, PortError> {
    let port = || port.to_owned();
    let system =
        |action| move |source: Errno| PortError::System { port: port(), action, source: source.into() };
    let listener = socket().map_err(system("making a socket"))?;
    let bound = match bind(&listener, address) {
        // A socket that nobody listens on is what a killed process left; it may be replaced.
        Err(Errno::ADDRINUSE) if abandoned(path, address) => {
            rustix::fs::unlink(path).and_then(|()| bind(&listener, address))
        }
        other => other,
    };
    bound.map_err(|error| match error {
        Errno::NOENT => PortError::Missing {
            port: port(),
            what: format!("the directory of {path}"),
            remedy: "create it first",
        },
        Errno::ACCESS | Errno::PERM => PortError::Privilege {
            port: port(),
            action: "creating the socket",
            remedy: "choose a directory that you may write to",
            source: error.into(),
        },
        Errno::ADDRINUSE => PortError::Option {
            port: port(),
            option: path.into(),
            problem: "another process listens there, or a file is in the way",
        },
        other => system("creating the socket")(other),
    })?;
    listen(&listener, backlog).map_err(system("listening"))?;
    Ok(listener)
}

/// Whether this is a socket file without a listener.
fn abandoned(path: &str, address: &SocketAddrUnix) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = Path::new(path).symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    is_socket && socket().is_ok_and(|probe| connect(&probe, address) == Err(Errno::CONNREFUSED))
}
