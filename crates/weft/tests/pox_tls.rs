//! `weft pox` under TLS, called by Open vSwitch: who is let in, who is not, and what is said of them.
//!
//! Two authorities, as Open vSwitch's `ovs-pki` has it: one signs controllers, the other signs switches.

#[path = "pox_ovs/lab.rs"]
mod lab;

use std::path::Path;
use std::process::Command;

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
