//! Mutated blueprints, deployments of the originals, and answers of Amazon's.

use std::path::Path;

use crate::{INPUT_MAX, fuzz};

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
    let pieces: Vec<&[u8]> = b"{}[]\":,0e-".iter().map(std::slice::from_ref).collect();
    fuzz("deployments", &seeds, &pieces, quilt::fuzzing::deployment);
}

fn pieces() -> Vec<&'static [u8]> {
    PIECES.iter().map(|piece| piece.as_bytes()).collect()
}

#[test]
fn blueprints() {
    fuzz("blueprints", &corpus(), &pieces(), quilt::fuzzing::blueprint);
}

#[test]
fn answers_of_amazon() {
    let seeds: Vec<Vec<u8>> = ANSWERS.iter().map(|text| text.as_bytes().to_vec()).collect();
    fuzz("answers of Amazon", &seeds, &pieces(), quilt::fuzzing::amazon);
}
