//! Published ports as a gateway: the API's schemas hold, and policies let in the gateway and nobody else.

use std::fs;
use std::process::Command;

use quilt::eval::{Options, evaluate_text};
use quilt::kubernetes::export::{self, Exported, Gateway, export};
use quilt::kubernetes::reach::reach;
use quilt::kubernetes::read;

use crate::judges;

const BLUEPRINT: &str = "import {Container, allow, publish} from 'weft';
    const web = new Container('web', {command: 'x', replicas: 3});
    const game = new Container('game', {command: 'x'});
    const db = new Container('db', {command: 'x'});
    allow(web, db, 5432, 'tcp');
    publish(web, 8080, 80); publish(web, 8443, 443); publish(game, 7777, 7777, 'udp');";

fn exported(text: &str, gateway: &Gateway<'_>) -> Exported {
    let evaluation = evaluate_text("shop.js", text, &Options::default()).unwrap();
    let options = export::Options { gateway: Some(gateway), ..export::Options::default() };
    export(&evaluation.blueprint, &options).unwrap()
}

/// What the judge of the Gateway API's schemas says: how many objects it judged, or what is wrong.
fn judged(yaml: &str) -> Result<usize, String> {
    let judges = judges::place();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    fs::write(&file, yaml).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes/gateway.py");
    let run = Command::new(judges.join("python"))
        .arg(script)
        .args([judges.join("gateway-api"), file])
        .output()
        .unwrap();
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&run.stdout).trim().parse().unwrap())
}

#[test]
fn the_schemas_of_the_gateway_api_hold() {
    let gateway = Gateway { class: "envoy", http: &[8080], namespaces: &[] };
    let exported = exported(BLUEPRINT, &gateway);
    let yaml = exported.yaml().unwrap();
    assert_eq!(judged(&yaml), Ok(4), "{yaml}");
    for line in ["kind: HTTPRoute\n", "kind: TCPRoute\n", "kind: UDPRoute\n", "gatewayClassName: envoy\n"] {
        assert!(yaml.contains(line), "{line} is not in {yaml}");
    }
    assert!(!yaml.contains("LoadBalancer"), "{yaml}");
    assert!(
        exported.notes.iter().any(|note| note.contains("8443, 7777 published so")),
        "{:?}",
        exported.notes
    );
}

#[test]
fn the_judge_of_gateways_refuses_what_is_wrong() {
    let gateway = Gateway { class: "envoy", http: &[8080], namespaces: &[] };
    let yaml = exported(BLUEPRINT, &gateway).yaml().unwrap();
    for (right, wrong) in [
        ("gatewayClassName:", "gatewayClass:"),
        ("sectionName:", "sectionname:"),
        ("protocol: HTTP\n", "protocol: H T T P\n"),
        ("port: 8443", "port: 84430"),
    ] {
        assert!(judged(&yaml.replace(right, wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn every_route_leads_to_a_port_that_a_service_has() {
    let gateway = Gateway { class: "envoy", http: &[8080], namespaces: &[] };
    let all = serde_json::to_value(exported(BLUEPRINT, &gateway).manifests).unwrap();
    let all = all.as_array().unwrap();
    let mut routes = 0;
    for route in all.iter().filter(|one| one["kind"].as_str().unwrap().ends_with("Route")) {
        let backend = &route["spec"]["rules"][0]["backendRefs"][0];
        let service =
            all.iter().find(|one| one["kind"] == "Service" && one["metadata"]["name"] == backend["name"]);
        let ports = service.expect("a service")["spec"]["ports"].as_array().unwrap();
        assert!(ports.iter().any(|port| port["port"] == backend["port"]), "{route}");
        routes += 1;
    }
    assert_eq!(routes, 3);
}

/// Who of three pods outside the namespace reaches `web` on port 80: the gateway's own, one of its namespace, another.
fn reaching(namespaces: &[String]) -> Vec<&'static str> {
    let gateway = Gateway { class: "envoy", http: &[8080], namespaces };
    let outside = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: proxy, namespace: gateways, labels: \
        {gateway.networking.k8s.io/gateway-name: shop}}\nspec: {containers: [{name: a}]}\n---\napiVersion: v1\n\
        kind: Pod\nmetadata: {name: beside, namespace: gateways}\nspec: {containers: [{name: a}]}\n---\n\
        apiVersion: v1\nkind: Pod\nmetadata: {name: stranger, namespace: other, labels: \
        {gateway.networking.k8s.io/gateway-name: another}}\nspec: {containers: [{name: a}]}\n";
    let yaml = exported(BLUEPRINT, &gateway).yaml().unwrap();
    let cluster = read::read(&[("all.yaml".into(), format!("{yaml}\n{outside}").into())]).unwrap();
    let reach = reach(&cluster).unwrap();
    let at = |name: &str| cluster.workloads.iter().position(|one| one.name == name).unwrap();
    let mut all = vec!["proxy", "beside", "stranger"];
    all.retain(|from| {
        let open = reach.between(at(from), at("web"));
        assert!(reach.between(at(from), at("db")).is_empty(), "{from} reaches db");
        !open.is_empty()
    });
    all
}

#[test]
fn policies_let_in_the_gateway_and_nobody_else() {
    assert_eq!(reaching(&[]), ["proxy"]);
    assert_eq!(reaching(&["gateways".to_owned()]), ["proxy", "beside"]);
}

#[test]
fn a_gateway_has_an_end() {
    let mut text =
        "import {Container, publish} from 'weft'; const a = new Container('a', {command: 'x'});".to_owned();
    for port in 1..=65 {
        text += &format!("publish(a, {port});");
    }
    let evaluation = evaluate_text("a.js", &text, &Options::default()).unwrap();
    let gateway = Gateway { class: "envoy", http: &[], namespaces: &[] };
    let options = export::Options { gateway: Some(&gateway), ..export::Options::default() };
    let faults = export(&evaluation.blueprint, &options).unwrap_err();
    assert!(faults[0].to_string().contains("listeners (64)"), "{}", faults[0]);
}
