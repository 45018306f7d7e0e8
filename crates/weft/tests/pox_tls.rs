//! `weft pox` under TLS, called by Open vSwitch: who is let in, who is not, and what is said of them.
//!
//! Two authorities, as Open vSwitch's `ovs-pki` has it: one signs controllers, the other signs switches.

#[path = "pox_ovs/lab.rs"]
mod lab;

use std::path::Path;
use std::process::{Command, Stdio};

use lab::Lab;

const WEB: &str = "web.webcore web.jsonrpc openflow.of_service";

/// Two authorities and one that nobody knows, each with a key and certificate that it has signed.
fn certificates(directory: &Path) {
    let script = "set -e
        for authority in controllers switches nobody; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$authority \
                -addext basicConstraints=critical,CA:TRUE -keyout $authority.key -out $authority.pem
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=of-$authority \
                -keyout of-$authority.key -out of-$authority.csr
            printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:of-%s\\n' $authority > extensions
            openssl x509 -req -in of-$authority.csr -CA $authority.pem -CAkey $authority.key -CAcreateserial \
                -days 2 -extfile extensions -out of-$authority.pem
        done";
    let made = Command::new("sh").args(["-c", script]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What a lab's switches show, and whom they trust.
fn identity(lab: &Lab, directory: &Path, own: &str, trusted: &str) {
    let file = |name: String| directory.join(name).to_str().unwrap().to_owned();
    let files = [format!("of-{own}.key"), format!("of-{own}.pem"), format!("{trusted}.pem")].map(file);
    lab.vsctl(&["set-ssl", &files[0], &files[1], &files[2]]);
}

#[test]
fn switches_with_a_certificate_are_let_in_and_nobody_else_disturbs_them() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path();
    certificates(files);

    // A network all is well with.
    let lab = Lab::new("OpenFlow13");
    identity(&lab, files, "switches", "controllers");
    (1..=2).for_each(|number| lab.switch_calling(number, "ssl:127.0.0.1:6653"));
    lab.link(1, 2);
    let hosts = [lab.host(1, 1), lab.host(2, 2)];
    let listener = format!(
        "openflow.of_01 --port=6653 --private-key={0}/of-controllers.key --certificate={0}/of-controllers.pem --ca-cert={0}/switches.pem",
        files.display()
    );
    let controller = lab.launch(&format!("{listener} forwarding.l2_learning {WEB}"), 2);
    lab.reaches(&hosts[0], "10.0.0.2");
    let switches = || lab.ask("get_switches", "{}").as_array().unwrap().len();
    assert_eq!(switches(), 2);

    // Another's switch, which calls over a cable between the two.
    let other = Lab::new("OpenFlow10");
    let there = other.full_name("sw");
    lab.inside("sw", &["ip", "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", &there]);
    for (end, at, address) in [(&lab, "out", "192.0.2.1/30"), (&other, "in", "192.0.2.2/30")] {
        end.inside("sw", &["ip", "addr", "add", address, "dev", at]);
        end.inside("sw", &["ip", "link", "set", at, "up"]);
    }
    let refused = |why: &str| {
        let line = controller.says(why);
        assert!(line.contains(":192.0.2.2:") && line.contains("did not become a switch"), "{line}");
        // It tries again, once a second; the others do not notice.
        assert_eq!(lab.ping(&hosts[0], "10.0.0.2", 40), 40);
        assert_eq!(switches(), 2);
    };
    identity(&other, files, "nobody", "controllers");
    other.switch_calling(9, "ssl:192.0.2.1:6653");
    refused("its certificate is signed by nobody we trust");
    identity(&other, files, "switches", "nobody");
    refused("it ends the TLS handshake: UnknownCA");
    other.vsctl(&["set-controller", "s9", "tcp:192.0.2.1:6653"]);
    refused("it does not speak TLS");

    // Mended, it is a switch like the others.
    identity(&other, files, "switches", "controllers");
    other.vsctl(&["set-controller", "s9", "ssl:192.0.2.1:6653"]);
    let line = controller.says("is up");
    assert!(line.contains("core: switch 0000000000000009 (OF1.0, ssl:192.0.2.2:"), "{line}");
    assert_eq!(switches(), 3);
    lab.assert_healthy();
}

/// The same from the other side: our switch calls under TLS, and says why where it comes to nothing.
#[test]
fn our_switch_shows_its_certificate_and_trusts_one_authority() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().display();
    certificates(directory.path());
    let lab = Lab::new("OpenFlow13");
    let controller = lab.launch(
        &format!(
            "openflow.of_01 --port=6653 --private-key={files}/of-controllers.key --certificate={files}/of-controllers.pem --ca-cert={files}/switches.pem {WEB}"
        ),
        0,
    );
    let switch = |number: u32, own: &str, trusted: &str| {
        let (near, far) = (format!("w{number}"), format!("v{number}"));
        lab.veth(&near, &far);
        let files = |option: &str, file: String| format!("--{option}={files}/{file}");
        let mut switch = lab.command_in("sw", &[env!("CARGO_BIN_EXE_weft"), "openflow", "switch"]);
        switch.args(["--port", &format!("veth:{near}"), "--controller", "ssl:127.0.0.1:6653"]);
        switch.args(["--datapath-id", &number.to_string(), "--json"]);
        switch.arg(files("private-key", format!("of-{own}.key")));
        switch.arg(files("certificate", format!("of-{own}.pem")));
        switch.arg(files("ca-cert", format!("{trusted}.pem")));
        switch.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Running(Some(switch.spawn().unwrap()))
    };
    controller.says("listens at ssl:");
    let good = switch(1, "switches", "controllers");
    let line = controller.says("is up");
    assert!(line.contains("core: switch 0000000000000001 (OF1.3, ssl:127.0.0.1:"), "{line}");
    // One that does not know the controller's authority, and one whose own the controller does not know.
    let distrustful = switch(2, "switches", "nobody");
    controller.says("did not become a switch: it ends the TLS handshake: UnknownCA");
    let unknown = switch(3, "nobody", "controllers");
    controller.says("did not become a switch: its certificate is signed by nobody we trust");
    assert_eq!(lab.ask("get_switches", "{}").as_array().unwrap().len(), 1);
    assert_eq!(good.end()["controllers"][0]["version"], "OF1.3");
    for (switch, why) in [(distrustful, "signed by nobody we trust"), (unknown, "UnknownCA")] {
        let summary = switch.end();
        let told = &summary["controllers"][0];
        assert!(told["version"].is_null(), "{summary}");
        assert!(told["problem"].as_str().is_some_and(|problem| problem.contains(why)), "{summary}");
    }
    lab.assert_healthy();
}

/// A switch of ours. Dropped, it is killed.
struct Running(Option<std::process::Child>);

impl Running {
    /// Ends it; what it tells.
    fn end(mut self) -> serde_json::Value {
        let child = self.0.take().unwrap();
        // `ip netns exec` has become the switch.
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
