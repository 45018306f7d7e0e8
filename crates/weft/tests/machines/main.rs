//! Machines of Amazon's, rented from EC2's API as moto serves it, which checks the signature of every request.

mod lab;

use lab::Lab;
use quilt::machines::sizes::AMAZON;
use serde_json::{Value, json};

const NOTHING: &str = r#"{"addresses":0,"groups":[],"instances":0,"keys":[]}"#;

fn shop(machines: &str) -> String {
    format!(
        "import {{Container, Machine, publish, deployment}} from 'weft';
deployment({{name: 'shop', adminACL: ['203.0.113.7/32'], maxPrice: 0.2}});
publish(new Container('web', {{command: ['web']}}), 8080, 80);
{machines}\n"
    )
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3mYcMXWgXbDm0pbDGwEtuhzHHRBC0VPDdEsSc9XFtP me@here";

fn three() -> String {
    shop(&format!(
        "new Machine({{provider: 'Amazon', role: 'master', size: 't3.medium', sshKeys: ['{KEY}'], floatingIp: true}});
new Machine({{provider: 'Amazon', replicas: 2, memory: '4G', spot: true, disk: 50}});"
    ))
}

#[test]
fn machines_are_booted_once_changed_and_given_back() {
    let lab = Lab::new();
    lab.blueprint(&three());
    let plan = lab.done(&["plan", "shop.js", "--target", "machines"]);
    let expected = "+ machine master-1 (t3.medium, 32 GiB, Amazon us-west-1)\n\
                    + machine worker-1 (t3.medium, 50 GiB, spot, Amazon us-west-1)\n\
                    + machine worker-2 (t3.medium, 50 GiB, spot, Amazon us-west-1)\n";
    assert_eq!(plan, expected);
    assert!(!lab.path("state/machines/shop/cluster.json").exists(), "a plan makes no secrets");
    lab.calls();

    let out = lab.up_done();
    assert!(out.starts_with(expected) && out.contains("web   1/1    ready"), "{out}");
    let booted = lab.summary();
    assert_eq!(
        booted,
        ["master-1 t3.medium running", "worker-1 t3.medium spot running", "worker-2 t3.medium spot running"]
    );
    // What may be paid is said of those that have a market's price.
    let price =
        |order: &Value| order["InstanceMarketOptions.SpotOptions.MaxPrice"].as_str().map(str::to_owned);
    let mut prices: Vec<_> = lab.orders().iter().map(price).collect();
    prices.sort();
    assert_eq!(prices, [None, Some("0.200000".to_owned()), Some("0.200000".to_owned())]);
    assert_eq!(lab.calls().iter().filter(|call| *call == "RunInstances").count(), 3);
    amazon_has_what_was_asked_for(&lab);
    nodes_have_what_affinities_ask_for(&lab);

    // The same again asks, and changes nothing.
    lab.up_done();
    let calls = lab.calls();
    assert!(calls.iter().all(|call| call.starts_with("Describe")), "{calls:?}");
    assert_eq!(lab.summary(), booted);

    // Another size of the workers, and one less.
    lab.blueprint(&three().replace("replicas: 2, memory: '4G'", "replicas: 1, memory: '8G'"));
    let plan = lab.done(&["plan", "shop.js", "--target", "machines"]);
    let expected = "~ machine worker-1 (size t3.medium -> t3.large, as worker-3)\n- machine worker-2 (t3.medium, spot)\n";
    assert_eq!(plan, expected);
    lab.up_done();
    assert_eq!(lab.summary(), ["master-1 t3.medium running", "worker-3 t3.large spot running"]);
    let nodes = lab.nodes();
    assert!(
        nodes.len() == 2 && nodes[0].starts_with("master-1-") && nodes[1].starts_with("worker-3-"),
        "{nodes:?}"
    );

    // One goes by itself, as spot machines do: another one takes its place, and its node goes.
    let id = lab.machines()[1]["id"].as_str().unwrap().to_owned();
    lab.boto(&format!("c.terminate_instances(InstanceIds=['{id}'])"));
    lab.up_done();
    assert_eq!(lab.summary(), ["master-1 t3.medium running", "worker-1 t3.large spot running"]);
    assert_eq!(lab.nodes().len(), 2);

    the_kubeconfig_is_one_that_the_cluster_trusts(&lab);

    let out = lab.done(&["stop", "--machines"]);
    assert_eq!(out, "gave back 2 machines, 1 firewalls, 1 keys and 1 addresses of shop\n");
    assert_eq!(lab.left().to_string(), NOTHING);
    assert!(!lab.path("state/machines/shop").exists());
    assert!(
        lab.failed(&["stop", "--machines", "-d", "shop"]).contains("no machines of 'shop' are known here")
    );
}

/// An API server that has a certificate of the cluster's authority, and asks for one of its clients' authority.
fn the_kubeconfig_is_one_that_the_cluster_trusts(lab: &Lab) {
    let (_server, url) = lab.secure_cluster();
    let kubeconfig = lab.path("state/machines/shop/kubeconfig");
    let kubeconfig = kubeconfig.to_str().unwrap();
    let arguments = ["--target", "kubernetes", "--kubeconfig", kubeconfig, "--server", &url];
    let plan = lab.done(&[&["plan", "shop.js"], &arguments[..]].concat());
    assert!(plan.starts_with("+ Namespace shop\n"), "{plan}");
    // Without its own certificate, and with another name of the server's, nobody is let in.
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    for (what, wrong) in [
        ("client", text.replace("client-certificate-data", "x").replace("client-key-data", "y")),
        ("server", text.replace("tls-server-name: kubernetes", "tls-server-name: other")),
    ] {
        std::fs::write(lab.path(what), wrong).unwrap();
        let arguments = ["--target", "kubernetes", "--kubeconfig", what, "--server", &url];
        let error = lab.failed(&[&["plan", "shop.js"], &arguments[..]].concat());
        assert!(error.contains("does not answer"), "{what}: {error}");
    }
}

/// By the labels that the cluster has of its nodes.
fn nodes_have_what_affinities_ask_for(lab: &Lab) {
    let nodes = Lab::ask(&format!("{}/api/v1/nodes", lab.cluster), "GET", None);
    let address = &lab.machines()[0]["public_address"];
    for node in nodes["items"].as_array().unwrap() {
        let labels = &node["metadata"]["labels"];
        let is_master = labels["weft/machine"] == "master-1";
        assert_eq!(labels["weft/provider"], "Amazon");
        assert_eq!(labels["node.kubernetes.io/instance-type"], "t3.medium");
        assert_eq!(labels["topology.kubernetes.io/region"], "us-west-1");
        assert_eq!(labels.get("weft/floating-ip"), is_master.then_some(address), "{labels}");
    }
}

/// By the answers of Amazon's own client.
fn amazon_has_what_was_asked_for(lab: &Lab) {
    let instances = lab.boto("[i for r in c.describe_instances()['Reservations'] for i in r['Instances']]");
    for instance in instances.as_array().unwrap() {
        assert_eq!(instance["ImageId"], "ami-0noble", "the newest of Canonical's own");
        assert_eq!(instance["SecurityGroups"][0]["GroupName"], "weft-shop");
        assert!(instance["KeyName"].as_str().unwrap().starts_with("weft-shop-"));
        let is_worker = instance["InstanceLifecycle"] == "spot";
        assert_eq!(is_worker, instance["Tags"].to_string().contains("worker-"), "{instance}");
    }
    let sizes = lab.boto("sorted(v['Size'] for v in c.describe_volumes()['Volumes'])");
    assert_eq!(sizes, json!([32, 50, 50]));
    let rules = lab.boto(
        "sorted([p['IpProtocol'], p.get('FromPort', 0), r['CidrIp']] for g in c.describe_security_groups()\
         ['SecurityGroups'] if g['GroupName'] == 'weft-shop' for p in g['IpPermissions'] for r in p['IpRanges'])",
    );
    assert_eq!(
        rules,
        json!([["tcp", 22, "203.0.113.7/32"], ["tcp", 6443, "203.0.113.7/32"], ["tcp", 8080, "0.0.0.0/0"]])
    );
    let inside = lab.boto(
        "[[p['IpProtocol'], r['GroupId'] == g['GroupId']] for g in c.describe_security_groups()['SecurityGroups'] \
         if g['GroupName'] == 'weft-shop' for p in g['IpPermissions'] for r in p['UserIdGroupPairs']]",
    );
    assert_eq!(inside, json!([["-1", true]]), "machines reach each other");
    let address = lab.boto("[a['InstanceId'] for a in c.describe_addresses()['Addresses']]");
    assert_eq!(address, json!([lab.machines()[0]["id"]]));
    // The first start of each says who it is; only a master is given the cluster's keys.
    let data = "[__import__('base64').b64decode(c.describe_instance_attribute(InstanceId=i['InstanceId'], \
                Attribute='userData')['UserData']['Value']).decode() for r in c.describe_instances()['Reservations'] \
                for i in r['Instances']]";
    let data = lab.boto(data);
    let with_keys =
        data.as_array().unwrap().iter().filter(|one| one.as_str().unwrap().contains("client-ca.key"));
    assert_eq!(with_keys.count(), 1);
    let may_log_in: Vec<&str> =
        data.as_array().unwrap().iter().filter_map(Value::as_str).filter(|one| one.contains(KEY)).collect();
    assert_eq!(may_log_in.len(), 1, "the key of the machine that names it");
    assert!(may_log_in[0].contains("ssh_authorized_keys") && may_log_in[0].contains("client-ca.key"));
    let master = &lab.machines()[0];
    let join = format!("https://{}:6443", master["private_address"].as_str().unwrap());
    let joining = data.as_array().unwrap().iter().filter(|one| one.as_str().unwrap().contains(&join));
    assert_eq!(joining.count(), 2);
}

#[test]
fn killed_at_any_call_the_next_run_ends_the_same() {
    let lab = Lab::new();
    lab.blueprint(&three());
    let mut killed = 0;
    for after in 0.. {
        let held = lab.up_killed(after);
        lab.up_done();
        assert_eq!(
            lab.summary(),
            [
                "master-1 t3.medium running",
                "worker-1 t3.medium spot running",
                "worker-2 t3.medium spot running"
            ],
            "killed at call {after}"
        );
        let left = lab.left();
        assert_eq!(
            (&left["instances"], &left["addresses"]),
            (&json!(3), &json!(1)),
            "killed at call {after}: {left}"
        );
        lab.done(&["stop", "--machines"]);
        assert_eq!(lab.left().to_string(), NOTHING, "killed at call {after}");
        if !held {
            break;
        }
        killed += 1;
    }
    println!("killed at each of {killed} calls");
    assert!(killed > 12, "{killed} calls");
}

#[test]
fn what_passes_by_itself_is_tried_again_and_the_rest_is_said() {
    let lab = Lab::new();
    lab.blueprint(&three());
    // The first calls are refused for now, and the network drops one.
    lab.faults(&json!([{"action": "*", "times": 2, "kind": "throttle"}, {"action": "*", "times": 1, "kind": "error"},
        {"action": "RunInstances", "times": 1, "kind": "close"}, {"action": "RunInstances", "times": 1, "kind": "html"}]));
    lab.up_done();
    assert_eq!(lab.summary().len(), 3);
    lab.done(&["stop", "--machines"]);

    for (kind, why) in [
        (
            "capacity",
            "RunInstances is refused: There is no t3.small capacity left. (InsufficientInstanceCapacity): try again later",
        ),
        ("limit", "(VcpuLimitExceeded): the account may not have more"),
        ("garbage", "the answer to RunInstances makes no sense: "),
        ("truncated", "the answer to RunInstances makes no sense: "),
    ] {
        // The second machine cannot be had; the first one stays and is found again.
        lab.faults(&json!([{"action": "RunInstances", "after": 1, "times": 1, "kind": kind}]));
        let error = lab.up_failed();
        assert!(error.contains(why), "{kind}: {error}");
        lab.faults(&json!([]));
        lab.up_done();
        assert_eq!(lab.left()["instances"], 3, "{kind}");
        lab.done(&["stop", "--machines"]);
        assert_eq!(lab.left().to_string(), NOTHING, "{kind}");
    }
}

#[test]
fn credentials_come_from_the_environment_or_a_profile() {
    let lab = Lab::new();
    lab.blueprint(&three());
    let plan = ["plan", "shop.js", "--target", "machines"];
    let [id, secret] = lab.key();
    std::fs::write(
        lab.path("credentials"),
        format!("[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n\n[work]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
    )
    .unwrap();
    let run = |profile: &str, file: &str| {
        let mut command = lab.command(&plan);
        command.env_remove("AWS_ACCESS_KEY_ID").env("AWS_PROFILE", profile);
        command.env("AWS_SHARED_CREDENTIALS_FILE", lab.path(file));
        let run = command.output().unwrap();
        let error = String::from_utf8_lossy(&run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        (run.status.success(), error.replace("│ ", ""))
    };
    assert!(run("work", "credentials").0);
    let (_, error) = run("default", "credentials");
    assert!(error.contains("(AuthFailure): look at the credentials"), "{error}");
    let (_, error) = run("other", "credentials");
    assert!(error.contains("it has no key in [other]"), "{error}");
    let (_, error) = run("work", "none");
    assert!(error.contains("no credentials of Amazon's: set AWS_ACCESS_KEY_ID"), "{error}");
    let wrong = lab.command(&plan).env("AWS_SECRET_ACCESS_KEY", "wrong").output().unwrap();
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(error.contains("SignatureDoesNotMatch") || error.contains("AuthFailure"), "{error}");
}

#[test]
fn machines_that_could_not_be_a_cluster_are_faults() {
    let lab = Lab::new();
    let fault = |machines: &str| {
        lab.blueprint(&shop(machines));
        lab.failed(&["up", "shop.js", "--target", "machines", "--server", &lab.cluster])
    };
    let master = "new Machine({provider: 'Amazon', role: 'master'});";
    for (machines, why) in [
        ("", "the blueprint has no machines"),
        ("new Machine({provider: 'Amazon'});", "no machine is a master"),
        ("new Machine({provider: 'Amazn', role: 'master'});", "no provider is called 'Amazn'"),
        (
            "new Machine({provider: 'Google', role: 'master', size: 'n1'});",
            "machines of Google cannot be booted yet",
        ),
        (
            "new Machine({provider: 'Amazon', role: 'master', cpu: 1000});",
            "Amazon has no size with at least 1000 cores",
        ),
        (
            "new Machine({provider: 'Amazon', role: 'master', size: 't3.micro', cpu: 4});",
            "size 't3.micro' has 2 cores",
        ),
        (
            "new Machine({provider: 'Amazon', role: 'master', size: 'm6i.4xlarge'});",
            "an hour of 'm6i.4xlarge' costs 0.768 dollars",
        ),
        ("new Machine({provider: 'Amazon', role: 'master', disk: 4});", "disk of a machine"),
        ("new Machine({provider: 'Amazon', role: 'boss'});", "'master' or 'worker'"),
        (
            "new Machine({provider: 'Amazon', role: 'master', sshKeys: ['nonsense']});",
            "'nonsense' is no public key",
        ),
        ("new Machine({provider: 'Amazon', role: 'master', floatingIp: 'x'});", "floatingIp of a machine"),
        ("new Machine({provider: 'Amazon', role: 'master', replicas: 0});", "replicas of a machine"),
        ("new Machine({provider: 'Amazon', role: 'master', sise: 't3.micro'});", "'sise'"),
        (
            &format!("{master} new Machine({{provider: 'Amazon', region: 'eu-west-1'}});"),
            "Amazon's us-west-1 and in Amazon's eu-west-1",
        ),
        (&format!("{master} deployment({{name: 'shop'}});"), "nobody may reach the machines, not even weft"),
        (
            &format!("{master} deployment({{name: 'shop', adminACL: ['1.2.3.4']}});"),
            "'1.2.3.4' is no network",
        ),
        (&format!("{master} deployment({{name: 'shop', maxPrice: 'much'}});"), "maxPrice"),
        (
            &format!("{master} new Container('db', {{command: ['db'], memory: '64G'}});"),
            "db finds no machine: master-1 has 2 GiB of memory, and it needs 64 GiB",
        ),
    ] {
        let error = fault(machines);
        assert!(error.contains(why), "{machines}: {error}");
    }
    assert!(lab.calls().is_empty(), "nothing was asked of Amazon");
    // Where this machine is meant, machines are no fault.
    lab.blueprint(&shop(master));
    let run = lab.command(&["plan", "shop.js"]).output().unwrap();
    let error = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && error.contains("the machine of the blueprint is not booted"), "{error}");
}

#[test]
fn an_address_of_ones_own_is_kept_and_one_of_anothers_is_not_taken() {
    let lab = Lab::new();
    let address = lab.boto("c.allocate_address(Domain='vpc')['PublicIp']").as_str().unwrap().to_owned();
    let with = |address: &str| {
        shop(&format!("new Machine({{provider: 'Amazon', role: 'master', floatingIp: '{address}'}});"))
    };
    lab.blueprint(&with(&address));
    lab.up_done();
    assert_eq!(lab.machines()[0]["public_address"], json!(address));
    lab.up_done();
    lab.done(&["stop", "--machines"]);
    assert_eq!(lab.left()["addresses"], 1, "it was ours before");

    lab.blueprint(&with("198.51.100.9"));
    let error = lab.up_failed();
    assert!(error.contains("the account has no elastic address 198.51.100.9 in this region"), "{error}");
    lab.boto(
        "c.associate_address(AllocationId=c.describe_addresses()['Addresses'][0]['AllocationId'], AllowReassociation=True, InstanceId=\
         c.run_instances(ImageId='ami-0old', InstanceType='t3.small', MinCount=1, MaxCount=1)['Instances'][0]\
         ['InstanceId'])",
    );
    lab.blueprint(&with(&address));
    let error = lab.up_failed();
    assert!(error.contains("which is not of this deployment"), "{error}");
    lab.done(&["stop", "--machines"]);
    assert_eq!(lab.left()["instances"], 1, "another's machine is left alone");
}

#[test]
fn secrets_that_were_lost_are_said_to_be_and_machines_can_be_given_back() {
    let lab = Lab::new();
    lab.blueprint(&three());
    lab.up_done();
    std::fs::remove_dir_all(lab.path("state")).unwrap();
    let error = lab.up_failed();
    assert!(
        error.contains("3 machines of 'shop' run, and the secrets of their cluster are not in"),
        "{error}"
    );
    lab.blueprint(&three().replace("provider: 'Amazon',", "provider: 'Amazon', region: 'us-west-1',"));
    assert!(lab.done(&["machines", "-d", "shop", "--region", "us-west-1"]).contains("worker-2"));
    lab.done(&["stop", "--machines", "-d", "shop", "--region", "us-west-1"]);
    assert_eq!(lab.left().to_string(), NOTHING);

    lab.up_done();
    lab.blueprint(&three().replace("provider: 'Amazon',", "provider: 'Amazon', region: 'eu-west-1',"));
    assert!(
        lab.up_failed()
            .contains("'shop' has machines of Amazon us-west-1 and the blueprint asks for Amazon eu-west-1")
    );
    lab.done(&["stop", "--machines"]);
}

#[test]
fn sizes_have_the_cores_and_memory_that_amazon_says() {
    let lab = Lab::new();
    let names: Vec<&str> = AMAZON.iter().map(|size| size.name).collect();
    let said = lab.boto(&format!(
        "{{t['InstanceType']: [t['VCpuInfo']['DefaultVCpus'], t['MemoryInfo']['SizeInMiB']] for t in \
         c.describe_instance_types(InstanceTypes={names:?})['InstanceTypes']}}"
    ));
    for size in AMAZON {
        let expected = json!([size.cores, (size.memory_gib * 1024.0) as u64]);
        assert_eq!(said[size.name], expected, "{}", size.name);
    }
}
