//! tcpdump reads the files we write and says of every frame what we meant. Needs Debian's `tcpdump`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use packet::pcap::{self, LinkType};
use packet::pcapng;
use packet::wire::{ethernet, ipv4, tcp};

mod frames;

/// What `tcpdump` prints of a file, line by line: numbers for names, no times, absolute sequence numbers.
fn tcpdump(path: &Path, arguments: &[&str]) -> Vec<String> {
    let output = Command::new("tcpdump")
        .args(["-nn", "-t", "-S", "-r"])
        .arg(path)
        .args(arguments)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .output()
        .expect("tcpdump runs: apt-get install tcpdump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A file that goes away with the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0); // tests of one process share its id
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weft-{}-{count}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn files() -> [Scratch; 2] {
    let mut old = pcap::Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    let mut new = pcapng::Writer::new(Vec::new()).unwrap();
    let interface = new.add_interface("eth0", LinkType::ETHERNET).unwrap();
    for (_, frame, _) in frames::all() {
        old.write(frames::TIME_NS, &frame).unwrap();
        new.write(interface, frames::TIME_NS, &frame).unwrap();
    }
    [
        Scratch::new("frames.pcap", &old.into_inner().unwrap()),
        Scratch::new("frames.pcapng", &new.into_inner().unwrap()),
    ]
}

#[test]
fn every_frame_means_to_tcpdump_what_it_means_to_us() {
    for file in files() {
        let lines = tcpdump(&file.0, &[]);
        // A line that does not start a frame (GENEVE's and VXLAN's inner frame) belongs to the one before.
        let all = frames::all();
        let mut rest = &lines[..];
        for (name, _, expected) in &all {
            let found = rest.iter().position(|line| line.contains(expected));
            let Some(found) = found else { panic!("{name}: no line has {expected:?} in {rest:#?}") };
            assert!(found <= 2, "{name}: skipped {:#?}", &rest[..found]);
            rest = &rest[found + 1..];
        }
    }
}

#[test]
fn tcpdump_finds_every_checksum_right() {
    for file in files() {
        let text = tcpdump(&file.0, &["-vvv"]).join("\n");
        assert!(text.contains("(correct)"), "{text}");
        for wrong in ["incorrect", "bad cksum", "bad udp cksum", "wrong icmp cksum", "bad icmp"] {
            assert!(!text.contains(wrong), "{wrong}: {text}");
        }
    }
}

#[test]
fn our_display_of_a_syn_is_tcpdumps() {
    let (_, frame, _) = frames::all().into_iter().find(|(name, ..)| *name == "tcp4_syn").unwrap();
    let mut writer = pcap::Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    writer.write(0, &frame).unwrap();
    let file = Scratch::new("syn.pcap", &writer.into_inner().unwrap());
    let ethernet = ethernet::View::new_checked(&frame[..]).unwrap();
    let ip = ipv4::View::new_checked(ethernet.payload()).unwrap();
    let tcp = tcp::View::new_checked(ip.payload()).unwrap().to_string();
    let ours = tcp.split_once(": ").unwrap().1;
    let theirs = tcpdump(&file.0, &["-e"]);
    assert_eq!(theirs.len(), 1);
    assert!(theirs[0].ends_with(ours), "{theirs:?} {ours}");
    assert!(theirs[0].starts_with(&ethernet.to_string()), "{theirs:?} {ethernet}");
}
