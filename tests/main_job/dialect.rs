//! A blueprint in the names of Kelda runs as it is.

use crate::harness::{Weft, Who, curl, eventually, free_port};

#[test]
fn a_kelda_blueprint_runs_as_root() {
    runs(Who::Root);
}

#[test]
fn a_kelda_blueprint_runs_as_an_ordinary_user() {
    runs(Who::User);
}

fn runs(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = weft.blueprint(
        "kelda.js",
        &format!(
            "const {{ Container, Infrastructure, LoadBalancer, Machine, allowTraffic, publicInternet }} = require('kelda');\n\
             const machine = new Machine({{ provider: 'Amazon', size: 'm3.medium' }});\n\
             const infra = new Infrastructure({{ masters: machine, workers: machine.replicate(2), namespace: 'old-times' }});\n\
             const webs = [];\n\
             for (let i = 0; i < 2; i += 1) {{\n\
               webs.push(new Container({{ name: 'web', image: 'host', command: ['weft', 'tool', 'web', '--listen', '{port}'] }}));\n\
             }}\n\
             const lb = new LoadBalancer({{ name: 'front', containers: webs }});\n\
             const client = new Container({{ name: 'client', image: 'host', command: ['sleep', '1000'] }});\n\
             allowTraffic(publicInternet, lb, {port});\n\
             allowTraffic(client, lb, {port});\n\
             webs.forEach((web) => web.deploy(infra));\n\
             client.deploy(infra);\n\
             lb.deploy(infra);\n"
        ),
    );
    weft.ok(&["up", &file]);
    assert_eq!(weft.json(&["ps", "--json"])["deployment"], "old-times");
    for name in ["web", "web2"] {
        let came = eventually(|| {
            curl(&format!("http://localhost:{port}/"))
                .is_ok_and(|page| page.trim() == format!("hello from {name}"))
        });
        assert!(came, "{name} has its turn");
    }
    let url = format!("http://front:{port}/");
    assert!(weft.inside("client", &["curl", "-sS", "--max-time", "20", &url]).starts_with("hello from web"));
    let back = weft.run(&[
        "exec",
        "web",
        "--",
        "curl",
        "-sS",
        "--max-time",
        "20",
        &format!("http://client:{port}/"),
    ]);
    assert_eq!(back.status.code(), Some(7), "nobody allowed that");
    weft.ok(&["stop"]);
    weft.nothing_left();
}
