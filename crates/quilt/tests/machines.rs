//! Machines of all dialects, as one model.

use quilt::eval::{Evaluation, Options, evaluate_text};
use quilt::machines::vet;
use quilt::model::{Floating, Machine, Role};

fn evaluated(text: &str) -> Evaluation {
    evaluate_text("shop.js", text, &Options::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn summary(machine: &Machine) -> String {
    let Machine { provider, role, region, size, disk_gib, is_spot, .. } = machine;
    format!("{provider} {role} {region} {size} {disk_gib}{}", if *is_spot { " spot" } else { "" })
}

fn summaries(text: &str) -> Vec<String> {
    let evaluation = evaluated(text);
    assert!(evaluation.faults.is_empty(), "{:?}", evaluation.faults);
    evaluation.blueprint.machines.all.iter().map(summary).collect()
}

#[test]
fn wefts_own() {
    let text = "import { Machine, deployment } from 'weft';
deployment({ name: 'shop', adminACL: ['203.0.113.0/24'], maxPrice: 0.25 });
new Machine({ provider: 'amazon', role: 'master', floatingIp: '198.51.100.7', sshKeys: ['ssh-rsa AAAA'] });
new Machine({ provider: 'Amazon', cpu: { min: 4, max: 8 }, memory: '16G', disk: 100, spot: true, replicas: 2 });
new Machine({ provider: 'Google', size: 'n2-standard-2', floatingIp: true });";
    assert_eq!(
        summaries(text),
        [
            "Amazon master us-west-1 t3.small 32",
            "Amazon worker us-west-1 t3.xlarge 100 spot",
            "Amazon worker us-west-1 t3.xlarge 100 spot",
            "Google worker us-east1-b n2-standard-2 32",
        ]
    );
    let machines = evaluated(text).blueprint.machines;
    assert_eq!(machines.admins, ["203.0.113.0/24"]);
    assert_eq!(machines.max_price_micros, Some(250_000));
    assert_eq!(machines.all[0].floating, Floating::Of("198.51.100.7".into()));
    assert_eq!((&machines.all[3].floating, machines.all[0].role), (&Floating::New, Role::Master));
    assert_eq!(machines.all[0].ssh_keys, ["ssh-rsa AAAA"]);
    assert_eq!(machines.all[1].span.to_string(), "shop.js:4:1");
    // As JSON, there and back.
    let json = serde_json::to_string(&machines).unwrap();
    assert_eq!(serde_json::from_str::<quilt::model::Machines>(&json).unwrap(), machines);
}

#[test]
fn those_of_quilt() {
    let text = "const { createDeployment, Machine, Range } = require('@quilt/quilt');
const deployment = createDeployment({ namespace: 'shop', adminACL: ['203.0.113.7/32'], maxPrice: 0.1 });
const base = new Machine({ provider: 'Amazon', region: 'us-west-2', cpu: new Range(2), ram: new Range(4), preemptible: true });
deployment.deploy([base.asMaster(), ...base.asWorker().replicate(2)]);
deployment.deploy(new Machine({ provider: 'Vagrant', role: 'Worker' }));
deployment.deploy(new Machine({ provider: 'Amazon', role: 'Worker', cpu: new Range(5000) }));";
    assert_eq!(
        summaries(text),
        [
            "Amazon master us-west-2 t3.medium 32 spot",
            "Amazon worker us-west-2 t3.medium 32 spot",
            "Amazon worker us-west-2 t3.medium 32 spot",
            "Vagrant worker   32",
        ]
    );
    let evaluation = evaluated(text);
    assert_eq!(evaluation.blueprint.machines.admins, ["203.0.113.7/32"]);
    assert_eq!(evaluation.blueprint.machines.max_price_micros, Some(100_000));
    let notes: Vec<&str> = evaluation.notes.iter().map(|note| note.text.as_str()).collect();
    let left_out = "a machine that could not be booted is left out: Amazon has no size with at least 5000 cores and any \
                    number of GiB of memory";
    assert!(notes.contains(&left_out), "{notes:?}");
}

#[test]
fn those_of_kelda() {
    let text = "const { Infrastructure, Machine } = require('kelda');
const machine = new Machine({ provider: 'Amazon', diskSize: 20, preemptible: true, sshKeys: ['ssh-rsa AAAA me'] });
new Infrastructure({ masters: machine, workers: machine.replicate(2), namespace: 'shop', adminACL: ['10.0.0.0/8'] });";
    let worker = "Amazon worker us-west-1 m3.medium 20 spot";
    assert_eq!(summaries(text), ["Amazon master us-west-1 m3.medium 20 spot", worker, worker]);
    assert_eq!(evaluated(text).blueprint.machines.admins, ["10.0.0.0/8"]);
}

#[test]
fn what_could_be_no_cluster_is_a_fault() {
    let text = "import { Machine, deployment } from 'weft';
deployment({ name: 'shop', adminACL: ['203.0.113.0/24'] });
new Machine({ provider: 'Amazon', role: 'master', floatingIp: '198.51.100.7' });
new Machine({ provider: 'Amazon', floatingIp: '198.51.100.7', region: 'eu-west-1' });";
    let blueprint = evaluated(text).blueprint;
    let found: Vec<String> = vet(&blueprint, &["nonsense".into()])
        .iter()
        .map(|fault| format!("{}: {fault}", fault.span))
        .collect();
    assert_eq!(
        found,
        [
            "shop.js:4:1: machines are in Amazon's us-west-1 and in Amazon's eu-west-1",
            "shop.js:3:1: 'nonsense' is no network",
            "shop.js:4:1: two machines have the floating address 198.51.100.7",
        ]
    );
}
