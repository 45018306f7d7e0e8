//! Functions by their names, each in a confined process ([`crate::isolate`]).
//!
//! ```text
//!  build_isolated ── starts ──▶ this program, with words that end in ── serve_isolated ──▶ one function
//! ```
//!
//! A confined process opens no files and has no output, so what names files is read before, and what would write is
//! refused.

use packet::{Pool, PoolConfig};

use super::{Kind, Setup, read};
use crate::isolate::{self, IsolateError, Isolated, Isolation};
use crate::{Args, ArgsError, Line};

/// How often the process looks for packets before it sleeps.
const SPINS: u32 = 1000;

/// Why functions could not be built, or not be isolated.
#[derive(Debug, thiserror::Error)]
pub enum IsolatedError {
    /// The words are wrong, or what they name cannot be isolated.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// Somebody else has started the process.
    #[error("an isolated function is started by the program that it serves, and not by hand")]
    Words,
    /// The process could not be started, or could not serve.
    #[error(transparent)]
    Isolate(#[from] IsolateError),
}

/// As [`build`](super::build), with each function in a process of its own, started from the calling program as `role`
/// and words for [`serve_isolated`]. With `in_step` packets leave in the call that they came in with: for runs whose
/// clock is that of capture files.
///
/// The words stand in `/proc` for the users of the machine to read; the key and the seed do not, and are known to the
/// processes only.
///
/// # Errors
/// What is wrong with the words; a function that acts on time alone, or whose work is to tell or to write something;
/// the process cannot be had.
pub fn build_isolated<W: AsRef<str>>(
    words: &[W],
    setup: &Setup,
    role: &str,
    in_step: bool,
) -> Result<Line, IsolatedError> {
    let mut line = Line::new();
    for (kind, args) in read(words)? {
        if let Some(reason) = in_the_way(kind, &args) {
            return Err(args.conflict(format!("it cannot be isolated: {reason}")).into());
        }
        let words = args.words_without_files()?;
        // Whatever is wrong with its arguments is better said here. It is built once more where it runs.
        let gates = kind.build(&mut Args::parse(args.function(), &words)?, setup)?.gates();
        let arguments = [role.to_owned(), kind.name.to_owned()].into_iter().chain(words).collect();
        let mut isolation = Isolation::of_this_program(arguments, gates)?;
        isolation.brief = [&setup.key.to_le_bytes()[..], &setup.seed.to_le_bytes()].concat();
        isolation.memory.room = isolation.memory.room.max((setup.pool.room() + packet::HEADROOM) as u32);
        isolation.in_step = in_step;
        line.push(args.function(), Box::new(Isolated::start(isolation)?));
    }
    Ok(line)
}

/// Why it cannot work where there are no files, no output, and no calls but with packets.
fn in_the_way(kind: &Kind, args: &Args) -> Option<&'static str> {
    match kind.name {
        "delay" | "generate" => {
            Some("it sends at times of its own, and an isolated function runs when packets come")
        }
        "dump" | "monitor" | "payload" | "streams" => {
            Some("it tells what it sees, and an isolated function has no output and no files")
        }
        _ if args.has("file") => Some("it writes to file=…, and an isolated function has no files"),
        _ => None,
    }
}

/// Inside the process that [`build_isolated`] has started: builds the function that the words behind the role name, and
/// runs it until the other side is gone. The process must have one thread.
///
/// # Errors
/// The words are not from there; see [`isolate::serve`].
pub fn serve_isolated(words: &[String]) -> Result<(), IsolatedError> {
    let [name, words @ ..] = words else { return Err(IsolatedError::Words) };
    let joined = isolate::join()?;
    let brief = joined.brief();
    let (key, seed) = brief.split_first_chunk().ok_or(IsolatedError::Words)?;
    let key = u128::from_le_bytes(*key);
    let seed = u64::from_le_bytes(seed.try_into().map_err(|_| IsolatedError::Words)?);
    let kind = Kind::find(name).ok_or_else(|| ArgsError::Function(name.clone()))?;
    // For its own packets, which are short. It has a part of a small memory.
    let pool = Pool::new(PoolConfig { buffers: crate::live::BUFFERS, ..PoolConfig::default() })
        .map_err(|error| ArgsError::Conflict { function: name.clone(), problem: error.to_string() })?;
    let mut function = kind.build(&mut Args::parse(name, words)?, &Setup { pool, key, seed })?;
    Ok(joined.serve(&mut *function, SPINS)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::setup;
    use super::*;

    #[test]
    fn a_file_of_rules_is_read_before() {
        let file = std::env::temp_dir().join(format!("netbricks-isolated-{}", std::process::id()));
        std::fs::write(&file, "@10.0.0.0/8\t0.0.0.0/0\t0 : 65535\t80 : 80\t0x06/0xFF\n").unwrap();
        let args = Args::parse("acl", [format!("classbench=@{}", file.display())]).unwrap();
        let words = args.words_without_files().unwrap();
        std::fs::remove_file(&file).unwrap();
        let built = Kind::find("acl").unwrap().build(&mut Args::parse("acl", words).unwrap(), &setup());
        assert!(built.is_ok_and(|acl| acl.gates() == 2));
    }

    #[test]
    fn what_needs_files_output_or_a_clock_is_refused_before_anything_starts() {
        for (words, said) in [
            (&["generate"][..], "generate: it cannot be isolated: it sends at times of its own"),
            (&["dump", "macswap"], "dump: it cannot be isolated: it tells what it sees"),
            (&["signature", "file=/dev/full"], "it writes to file=…"),
            (&["acl", "rule=@/none"], "acl: rule=@/none: No such file"),
            (&["macswap", "x=1"], "macswap: it takes no x=…"),
            (&["macswop"], "there is no network function 'macswop'"),
        ] {
            let error = build_isolated(words, &setup(), "--none", false).unwrap_err().to_string();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
