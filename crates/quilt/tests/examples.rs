//! The blueprints a newcomer copies: each loads without a fault, and allows what its comments say and no more.

use std::path::{Path, PathBuf};

use quilt::check::reach::allowed;
use quilt::eval::Options;
use quilt::model::{Blueprint, Protocol};

fn example(name: &str, options: &Options) -> Blueprint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let loaded = quilt::load(&path, options).unwrap_or_else(|faults| panic!("{:?}", faults.into_report()));
    assert_eq!(loaded.notes, [], "{name}");
    assert_eq!(loaded.console, "", "{name}");
    loaded.blueprint
}

/// `source -> destination:port` for all that may connect, of the ports the blueprint mentions.
fn connections(blueprint: &Blueprint) -> Vec<String> {
    let services = blueprint.services.iter().map(|service| &service.name);
    let names: Vec<&String> = blueprint.containers.iter().map(|c| &c.name).chain(services).collect();
    let mut ports: Vec<u16> =
        blueprint.links.iter().flat_map(|link| [link.ports.min, link.ports.max]).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut found = Vec::new();
    for source in &blueprint.containers {
        for destination in &names {
            for port in &ports {
                if allowed(blueprint, &source.name, destination, *port, Protocol::Tcp).is_some() {
                    found.push(format!("{} -> {destination}:{port}", source.name));
                }
            }
        }
    }
    found
}

#[test]
fn the_shop_lets_only_the_web_tier_reach_the_database() {
    let shop = example("shop.js", &Options::default());
    assert_eq!(shop.name, "shop");
    let expected = [
        "web-1 -> db:5432",
        "web-2 -> db:5432",
        "web-3 -> db:5432",
        "client -> web-1:80",
        "client -> web-2:80",
        "client -> web-3:80",
        "client -> web:80",
    ];
    assert_eq!(connections(&shop), expected);
    assert_eq!(shop.publishes[0].to_string(), "8080 -> web:80/tcp");
}

#[test]
fn nginx_is_reached_by_its_client() {
    let nginx = example("nginx.js", &Options::default());
    let expected = ["client -> north:80", "client -> south:80", "client -> pages:80"];
    assert_eq!(connections(&nginx), expected);
    assert!(nginx.containers[0].files.contains_key("/srv/www/index.html"));
}

#[test]
fn redis_replicates_one_way_on_the_port_asked_for() {
    let expected = |port: u16| {
        [("replica", "primary"), ("client", "primary"), ("client", "replica")]
            .map(|(from, to)| format!("{from} -> {to}:{port}"))
    };
    assert_eq!(connections(&example("redis.js", &Options::default())), expected(6379));
    let options = Options { args: [("port".to_owned(), "7000".to_owned())].into(), ..Options::default() };
    assert_eq!(connections(&example("redis.js", &options)), expected(7000));
}

#[test]
fn haproxy_is_the_only_way_to_the_web_servers() {
    let haproxy = example("haproxy.js", &Options::default());
    let mut expected: Vec<String> =
        ["web-1", "web-2", "web-3", "web"].map(|web| format!("proxy -> {web}:80")).into();
    expected.push("operator -> proxy:8404".into());
    assert_eq!(connections(&haproxy), expected);
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/haproxy.js"))
            .unwrap();
    let past = format!("{text}\nallow(operator, web, 80);");
    let evaluation = quilt::eval::evaluate_text("haproxy.js", &past, &Options::default()).unwrap();
    let faults = quilt::checked(evaluation, &|_| true).unwrap_err();
    assert!(faults.to_string().contains("proxy is to be between "), "{faults}");
}

#[test]
fn things_meet_at_the_broker() {
    let mosquitto = example("mosquitto.js", &Options::default());
    let expected = ["thermometer-1", "thermometer-2", "display"].map(|from| format!("{from} -> broker:1883"));
    assert_eq!(connections(&mosquitto), expected);
}

#[test]
fn mariadb_needs_its_password_and_lets_the_application_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mariadb.js");
    let fault = quilt::load(&path, &Options::default()).unwrap_err().faults[0].to_string();
    assert!(fault.contains("secret 'db-password' of container 'db' has no value"), "{fault}");
    let evaluation = quilt::eval::evaluate(&path, &Options::default()).unwrap();
    let mariadb = quilt::checked(evaluation, &|name| name == "db-password").unwrap();
    assert_eq!((mariadb.notes, mariadb.console), (vec![], String::new()));
    assert_eq!(connections(&mariadb.blueprint), ["app -> db:3306"]);
}

#[test]
fn pairs_of_iperf3_are_apart() {
    let iperf3 = example("iperf3.js", &Options::default());
    assert_eq!(connections(&iperf3), ["fast -> server-1:5201", "slow -> server-2:5202"]);
    assert_eq!(iperf3.container("slow").unwrap().limits.cpu_milli, Some(20));
}

#[test]
fn capture_has_one_link() {
    assert_eq!(connections(&example("capture.js", &Options::default())), ["client -> web:80"]);
}

#[test]
fn what_is_inspected_goes_through_three_functions() {
    let inspected = example("inspected.js", &Options::default());
    assert_eq!(connections(&inspected), ["client -> web:80", "client -> web:81"]);
    assert_eq!(inspected.links[0].to_string(), "client -> web:80-81/tcp through watch, guard, search");
    let functions: Vec<String> = inspected.functions.iter().map(ToString::to_string).collect();
    assert_eq!(functions[1], "guard (firewall rule=permit out tcp any any 80; 2 instances, affinity flow)");
    assert_eq!(inspected.functions[2].run, ["signature", "rule=drop \"passwd\" content \"/etc/passwd\" tcp"]);
}

#[test]
fn sentinels_vote_among_themselves() {
    let sentinel = example("sentinel.js", &Options::default());
    let ports = |from: &str| {
        let may = connections(&sentinel).into_iter().filter(|line| line.starts_with(&format!("{from} -> ")));
        may.map(|line| line.rsplit(':').next().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ports("redis-1"), ["6379".to_owned()].into());
    assert_eq!(ports("sentinel-1"), ["6379".to_owned(), "26379".to_owned()].into());
    assert_eq!(ports("app"), ["6379".to_owned(), "26379".to_owned()].into());
}

#[test]
fn django_reads_its_program_and_is_between() {
    let django = example("django.js", &Options::default());
    let expected = ["app-1 -> cache:6379", "app-2 -> cache:6379"].map(str::to_owned);
    let may: Vec<String> = connections(&django).into_iter().filter(|line| line.contains("cache")).collect();
    assert_eq!(may, expected);
    assert!(django.container("app-1").unwrap().files["/srv/app.py"].to_string().contains("def index"));
}

#[test]
fn every_example_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|ending| ending == "js"));
    let this = include_str!("examples.rs");
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/main_job");
    let files = ["examples/data.rs", "examples/traffic.rs", "examples/web.rs", "shop.rs"];
    let run: String = files.iter().map(|file| std::fs::read_to_string(job.join(file)).unwrap()).collect();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy();
        let tested = [format!("example(\"{name}\""), format!("examples/{name}\")")];
        assert!(tested.iter().any(|call| this.contains(call)), "{name} has no test");
        let started = [format!("example(&weft, \"{name}\","), format!("examples/{name}\"")];
        assert!(started.iter().any(|call| run.contains(call)), "{name} is run by no test of the main job");
    }
}
