//! Confines itself, and tries what it then may not do: `confined spawn loading|serving ATTEMPT` prints how it ended.
//! `tests/confine.rs` goes through the attempts as root and as an ordinary user.
#![allow(unsafe_code)]

use std::time::Duration;

use host::confine::{self, Confinement, Program};

/// What an attempt that was refused, and did not end the process, exits with.
const REFUSED: i32 = 42;
/// What one that succeeded exits with.
const SUCCEEDED: i32 = 66;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "spawn", stage, attempt] => spawn(stage, attempt),
        [_, "inside", stage, attempt] => {
            if stage == "serving" {
                confine::tighten(1).expect("the second filter");
            }
            std::process::exit(if try_to(attempt) { SUCCEEDED } else { REFUSED });
        }
        _ => {
            eprintln!("usage: confined spawn loading|serving ATTEMPT");
            std::process::exit(2);
        }
    }
}

fn spawn(stage: &str, attempt: &str) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let confinement = Confinement {
        program: Program::this().expect("this program"),
        arguments: ["inside", stage, attempt].map(Into::into).into(),
        passed: vec![writer.into()],
        memory_max: 1 << 30,
    };
    let mut confined = confine::spawn(confinement).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    });
    let said = std::io::read_to_string(reader).expect("what it said");
    let exit = confined.wait(Duration::from_secs(60)).expect("its end").expect("an end within a minute");
    println!("{exit:?} {said}");
}

/// Writes to the descriptor that was passed.
fn say(text: &str) {
    // SAFETY: the bytes live through the call.
    unsafe { libc::write(confine::FIRST_PASSED, text.as_ptr().cast(), text.len()) };
}

/// Whether it worked.
fn try_to(attempt: &str) -> bool {
    // SAFETY: none of these calls reads or writes memory of this process, or all arguments are null.
    let call = |number: libc::c_long, arguments: [libc::c_long; 4]| unsafe {
        libc::syscall(number, arguments[0], arguments[1], arguments[2], arguments[3]) >= 0
    };
    let executable = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    match attempt {
        "say" => {
            say(&format!("{} {:?}", std::process::id(), std::env::vars().collect::<Vec<_>>()));
            true
        }
        "allocate" => {
            let memory = std::hint::black_box(vec![1_u8; 16 << 20]);
            memory[memory.len() - 1] == 1 && std::time::Instant::now().elapsed() < Duration::from_secs(60)
        }
        "hoard" => std::hint::black_box(Vec::<u8>::new()).try_reserve(2 << 30).is_ok(),
        "open" => std::fs::File::open("/etc/passwd").is_ok(),
        "create" => std::fs::File::create("/new").is_ok(),
        "proc" => std::fs::read_dir("/proc").is_ok(),
        "socket" => call(libc::SYS_socket, [libc::AF_UNIX.into(), libc::SOCK_STREAM.into(), 0, 0]),
        "connect" => call(libc::SYS_connect, [i64::from(confine::FIRST_PASSED), 0, 0, 0]),
        "fork" => call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0]),
        "thread" => std::thread::Builder::new().spawn(|| ()).is_ok(),
        "exec" => call(libc::SYS_execve, [c"/bin/sh".as_ptr() as libc::c_long, 0, 0, 0]),
        "ptrace" => call(libc::SYS_ptrace, [libc::PTRACE_TRACEME.into(), 0, 0, 0]),
        "kill" => call(libc::SYS_kill, [1, 0, 0, 0]),
        "mount" => call(libc::SYS_mount, [0; 4]),
        "unshare" => call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0]),
        "executable memory" => {
            call(libc::SYS_mmap, [0, 4096, executable, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS).into()])
        }
        "other descriptor" => call(libc::SYS_write, [9, 0, 0, 0]),
        other => panic!("no attempt is called {other}"),
    }
}
