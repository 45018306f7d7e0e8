//! Bounded fuzzing of the evaluator on stable Rust: mutated blueprints through the body that the coverage-guided
//! target shares.
//!
//! `WEFT_FUZZ_SECONDS` (3); `WEFT_FUZZ_SEED` repeats a run: an input depends on the seed and its number alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the longest input.
const INPUT_MAX: usize = 16 << 10;
/// One input that takes longer is a hang: its deadline, the grace period, and a loaded machine.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);

/// Pieces that mean something to the parser, the sandbox or the model.
const PIECES: &[&str] = &[
    "new Container('x', {command: ['x']});",
    "allow(",
    "publish(",
    "new Machine({provider: 'Amazon', role: 'master', memory: '8G', cpu: {min: 2}, replicas: 3});",
    "replicas: ",
    "65535",
    "-1",
    "1e308",
    "NaN",
    "''",
    "null",
    "undefined",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "`",
    "'",
    "\"",
    "/*",
    "*/",
    "//",
    "\\u{10ffff}",
    "\\ud800",
    "\u{0}",
    "import x from './y.js';",
    "import('weft')",
    "require('fs')",
    "const { Container, Image, Machine, Service, createDeployment, publicInternet } = require('@quilt/quilt');",
    "const { Container, Infrastructure, LoadBalancer, Machine, allowTraffic } = require('kelda');",
    "createDeployment({}).deploy(new Service('web', new Container('nginx').replicate(2)));",
    "global._quiltDeployment.machines = ",
    "new Infrastructure(new Machine({ provider: 'Amazon' }), [])",
    ".allowFrom(publicInternet, 80)",
    ".deploy(infrastructure)",
    "Buffer.from('é').toString('hex')",
    "export default ",
    "await ",
    "async ",
    "yield ",
    "for (;;) {}",
    "while (1) ",
    "throw ",
    "try { ",
    "} catch (e) {",
    "class A extends Container { ",
    "health: {tcp: 80, interval: '1s'}",
    "dependsOn: ['a', 'b']",
    "update: {batch: 2, pause: '0s'}",
    "super(",
    "=> ",
    "new Proxy({}, {})",
    "Object.prototype.x = 1;",
    "Array.prototype.length = 3;",
    "JSON.stringify = null;",
    "__proto__",
    "Symbol.iterator",
    "'x'.repeat(1e9)",
    "/(a+)+b/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaa')",
    "10n ** 99999n",
    "eval('1')",
    "constructor",
    "toString",
    "é",
    "\r\n",
    "\u{2028}",
    "\u{feff}",
    "#!",
    "<!--",
    "...",
    "?.",
    "??=",
    "get ",
    "static {",
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// The seeds of the coverage-guided target, and the examples.
fn corpus() -> Vec<Vec<u8>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for folder in ["fuzz/corpus/blueprint", "examples"].map(|folder| top.join(folder)) {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "js"));
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(5) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(60)).min(input.len());
        match random.below(7) {
            0 | 1 => _ = input.splice(at..at, PIECES[random.below(PIECES.len())].bytes()),
            2 => _ = input.drain(at..end),
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + random.below(200)).min(other.len())].to_vec();
                input.splice(at..end, piece);
            }
            4 if at < input.len() => input[at] ^= 1 << random.below(8),
            5 => {
                let piece = input[at..end].to_vec();
                let times = 1 << random.below(8);
                input.splice(at..at, piece.repeat(times));
            }
            _ => {
                let number = [0, 1, 80, 65_536, u64::from(u32::MAX), u64::MAX][random.below(6)].to_string();
                input.splice(at..end.min(at + 2), number.into_bytes());
            }
        }
        input.truncate(INPUT_MAX);
    }
    input
}

/// What Amazon says: instances, a firewall, a refusal; and a file of credentials.
const ANSWERS: [&str; 4] = [
    "<DescribeInstancesResponse xmlns='http://ec2.amazonaws.com/doc/2016-11-15/'><reservationSet><item><instancesSet>\
     <item><instanceId>i-1</instanceId><instanceState><code>16</code><name>running</name></instanceState>\
     <instanceType>t3.small</instanceType><ipAddress>203.0.113.7</ipAddress><privateIpAddress>10.0.0.4\
     </privateIpAddress><tagSet><item><key>weft:machine</key><value>master-1</value></item><item><key>weft:node</key>\
     <value>master-1-abc</value></item></tagSet></item></instancesSet></item></reservationSet><nextToken>t</nextToken>\
     </DescribeInstancesResponse>",
    "<DescribeSecurityGroupsResponse><securityGroupInfo><item><groupId>sg-1</groupId><groupName>weft-x</groupName>\
     <ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort><ipRanges><item>\
     <cidrIp>10.0.0.0/8</cidrIp></item></ipRanges><groups><item><groupId>sg-1</groupId></item></groups></item>\
     </ipPermissions></item></securityGroupInfo></DescribeSecurityGroupsResponse>",
    "<?xml version='1.0'?><Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>&lt;slow&gt;</Message>\
     </Error></Errors><RequestID>r</RequestID></Response>",
    "[default]\naws_access_key_id = A\naws_secret_access_key = b=c\n[work]\n",
];

/// Gives mutations of the seeds to `body` for a while.
fn fuzz(name: &str, seeds: &[Vec<u8>], body: fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seconds = number("WEFT_FUZZ_SECONDS").unwrap_or(3);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
    let seed = number("WEFT_FUZZ_SEED").unwrap_or_else(clock);
    println!("{name}: WEFT_FUZZ_SEED={seed} WEFT_FUZZ_SECONDS={seconds}");
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let mut random = Random(seed ^ count);
        // The corpus itself first.
        let input = seeds.get(count as usize).cloned().unwrap_or_else(|| mutate(&mut random, seeds));
        let shown = || String::from_utf8_lossy(&input).into_owned();
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| body(&input)));
        assert!(result.is_ok(), "WEFT_FUZZ_SEED={seed}, input {count}:\n{}", shown());
        assert!(start.elapsed() < INPUT_TIME_MAX, "WEFT_FUZZ_SEED={seed}, input {count} hangs:\n{}", shown());
        count += 1;
    }
    println!("{name}: {count} inputs in {:.1} s", began.elapsed().as_secs_f64());
    assert!(count as usize >= seeds.len());
}

/// Deployments that the originals printed, changed.
#[test]
fn deployments() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/original/quilt"));
    let files = std::fs::read_dir(folder).expect("the originals' deployments").flatten();
    let mut printed: Vec<_> = files.map(|file| file.path()).collect();
    printed.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    printed.sort();
    let read = |path: &std::path::PathBuf| std::fs::read(path).expect("a file");
    let seeds: Vec<Vec<u8>> = printed.iter().map(read).filter(|text| text.len() < INPUT_MAX).collect();
    assert!(seeds.len() >= 8);
    packet::fuzzing::bounded::fuzz_seeds("deployments", &seeds, b"{}[]\":,0e-", quilt::fuzzing::deployment);
}

#[test]
fn blueprints() {
    fuzz("blueprints", &corpus(), quilt::fuzzing::blueprint);
}

#[test]
fn answers_of_amazon() {
    let seeds: Vec<Vec<u8>> = ANSWERS.iter().map(|text| text.as_bytes().to_vec()).collect();
    fuzz("answers of Amazon", &seeds, quilt::fuzzing::amazon);
}
