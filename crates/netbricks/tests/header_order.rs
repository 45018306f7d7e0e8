//! What must not compile: header orders that no network has, and packets touched after they were given away.
//!
//! Each program is compiled against the built library and must fail with the error that it is about; one that is right must
//! compile, so that a failure for another reason does not pass for one.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs' common beginning.
const PRELUDE: &str =
    "#![allow(unused)]\nuse netbricks::header::*;\nuse netbricks::*;\nuse packet::wire::*;\n";

/// What is wrong: body of a function of a raw `frame`, the compiler's error code, and what it must say.
const WRONG: [(&str, &str, &str, &str); 9] = [
    (
        "tcp_on_ethernet",
        "frame.parse::<Ethernet>()?.parse::<Tcp>()?;",
        "E0277",
        "Tcp` header cannot follow a `netbricks::header::Ethernet`",
    ),
    ("ip_on_nothing", "frame.parse::<Ipv4>()?;", "E0277", "Ipv4` header cannot follow a `Wire` header"),
    (
        "ip_in_udp",
        "frame.parse::<Ethernet>()?.parse::<Ipv4>()?.parse::<Udp>()?.parse::<Ipv6>()?;",
        "E0277",
        "Ipv6` header cannot follow a `netbricks::header::Udp`",
    ),
    (
        "tag_pushed_on_ip",
        "let tag = vlan::Repr { id: 1, priority: 0, drop_eligible: false, ethertype: EtherType::IPV4 };
         frame.parse::<Ethernet>()?.parse::<Ipv4>()?.push::<Vlan>(&tag)?;",
        "E0277",
        "Vlan` header cannot follow a `netbricks::header::Ipv4`",
    ),
    (
        "a_header_that_was_not_parsed",
        "frame.parse::<Ethernet>()?.parse::<Ipv4>()?.layer::<Ipv6, _>();",
        "E0277",
        "has been parsed here",
    ),
    ("below_the_lowest", "frame.deparse();", "E0599", "deparse"),
    (
        "a_packet_after_it_was_sent",
        "let mut ctx = Context::new(2);
         ctx.send(1, frame.into_packet());
         frame.bytes();",
        "E0382",
        "moved value: `frame`",
    ),
    (
        "two_views_that_write",
        "let mut frame = frame.parse::<Ethernet>()?.parse::<Ipv4>()?;
         let mut ip = frame.header_mut();
         let mut ethernet = frame.layer_mut::<Ethernet, _>();
         ip.set_ttl(1);",
        "E0499",
        "`frame` as mutable more than once",
    ),
    (
        "a_view_kept_beyond_the_call",
        "let mut kept: Option<&Frame> = None;
         chain().inspect(|frame| kept = Some(frame));",
        "E0521",
        "borrowed data escapes",
    ),
];

const RIGHT: &str =
    "let tag = vlan::Repr { id: 1, priority: 0, drop_eligible: false, ethertype: EtherType::IPV4 };
    let mut frame = frame.parse::<Ethernet>()?.push::<Vlan>(&tag)?.parse::<Ipv4>()?.parse::<Udp>()?;
    frame.layer_mut::<Ipv4, _>().set_ttl(1);
    frame.header_mut().set_source_port(7);
    Context::new(2).send(1, frame.deparse().into_packet());";

/// The libraries of that name in the folder of this program, the newest first. Builds of other sets of crates leave others there.
fn libraries(name: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().expect("this program");
    let deps = program.parent().expect("its folder");
    let files = std::fs::read_dir(deps).expect("the folder").flatten().map(|entry| entry.path());
    let ours = files.filter(|path| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
    });
    let mut ours: Vec<PathBuf> = ours.collect();
    ours.sort_by_key(|path| Reverse(path.metadata().and_then(|data| data.modified()).ok()));
    assert!(!ours.is_empty(), "no lib{name} in {}", deps.display());
    ours
}

/// What the compiler says of a function with this body; `None` when it compiles. `kind` is what it is to make.
fn compile(folder: &Path, name: &str, body: &str, kind: &[&str]) -> Option<String> {
    let source = folder.join(format!("{name}.rs"));
    let text = format!("{PRELUDE}pub fn run(frame: Frame) -> Step<()> {{\n{body}\nOk(()) }}\n");
    std::fs::write(&source, text).expect("a file");
    let netbricks = libraries("netbricks").swap_remove(0);
    let mut said = String::new();
    for packet in libraries("packet") {
        let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
            .args(["--edition", "2024"])
            .args(kind)
            .arg("--out-dir")
            .arg(folder)
            .arg("-L")
            .arg(format!("dependency={}", netbricks.parent().expect("a folder").display()))
            .arg("--extern")
            .arg(format!("netbricks={}", netbricks.display()))
            .arg("--extern")
            .arg(format!("packet={}", packet.display()))
            .arg(&source)
            .output()
            .expect("rustc");
        if output.status.success() {
            return None;
        }
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It is not the one that netbricks is built on.
        if !said.contains("multiple different versions of crate `packet`") {
            break;
        }
    }
    Some(said)
}

/// Checked only.
const METADATA: [&str; 4] = ["--crate-type", "lib", "--emit", "metadata"];
/// Optimised code, as a release build has it.
const CODE: [&str; 4] = ["--crate-type", "rlib", "-C", "opt-level=3"];

#[test]
fn what_is_right_compiles_and_what_is_wrong_fails_for_the_reason_given() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(compile(folder.path(), "right", RIGHT, &METADATA), None);
    for (name, body, code, text) in WRONG {
        let said = compile(folder.path(), name, body, &METADATA).unwrap_or_else(|| panic!("{name} compiles"));
        assert!(said.contains(code) && said.contains(text), "{name}: wanted {code}, {text}:\n{said}");
    }
}

/// Hedgehog's chains stay below 8 stages because the linker runs out of memory; 64 build in seconds.
#[test]
fn a_chain_of_64_functions_builds_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let step = ".transform(|ip| { if ip.header().ttl() == N { ip.header_mut().set_tos(N); } })";
    let steps: String = (0..64).map(|n| step.replace('N', &n.to_string())).collect();
    let body = format!(
        "let function = chain().parse::<Ethernet>().parse::<Ipv4>(){steps}.reset().build();
        let mut function: Box<dyn NetworkFunction> = Box::new(function);
        function.process(0, &mut packet::Batch::new(), &mut Context::new(2));"
    );
    let start = std::time::Instant::now();
    assert_eq!(compile(folder.path(), "chain", &body, &CODE), None);
    let took = start.elapsed();
    println!("64 functions in {:.1} s", took.as_secs_f64());
    assert!(took.as_secs() < 30, "{took:?}");
}
