//! Compose files and manifests as blueprints: they are sound, and allow what is needed and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use quilt::check::reach::{Index, allowed_outside};
use quilt::eval::{Options, evaluate, evaluate_text};
use quilt::import;
use quilt::kubernetes::export;
use quilt::kubernetes::reach::reach;
use quilt::kubernetes::read::read;
use quilt::model::{Blueprint, Protocol};

fn sound(text: &str) -> Blueprint {
    let evaluation = evaluate_text("made.js", text, &Options::default());
    let evaluation = evaluation.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let checked = quilt::checked(evaluation, &|_| true);
    checked.unwrap_or_else(|faults| panic!("{faults}: {:?}\n{text}", faults.faults)).blueprint
}

fn links(blueprint: &Blueprint) -> Vec<String> {
    blueprint.links.iter().map(ToString::to_string).collect()
}

fn compose(text: &str) -> (Blueprint, String) {
    let compose =
        quilt::compose::read("compose.yaml", &text.into()).unwrap_or_else(|faults| panic!("{faults}"));
    let text = import::write(&import::compose::draft(&compose, "folder", "compose.yaml"));
    (sound(&text), text)
}

#[test]
fn what_compose_builds_is_built() {
    let text = r#"
services:
  api: {build: ./api, image: acme/api}
  job:
    build: {context: jobs/, dockerfile: Dockerfile.prod, target: run, args: ["LEVEL=${LEVEL:-2}"]}
  own:
    build:
      context: .
      dockerfile_inline: "FROM scratch\nCOPY a /a\nCMD [\"/a\"]\n"
"#;
    let compose = quilt::compose::read("compose.yaml", &text.into()).unwrap();
    let text = import::write(&import::compose::draft(&compose, "folder", "compose.yaml"));
    for line in [
        "image: new Image({ name: 'acme/api', file: './api/Dockerfile', context: './api' }),",
        "image: new Image({ file: 'jobs/Dockerfile.prod', context: 'jobs/', args: { 'LEVEL': '2' }, target: 'run' }),",
        r#"image: new Image({ dockerfile: "FROM scratch\nCOPY a /a\nCMD [\"/a\"]\n", context: '.' }),"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("not taken over") && !text.contains("has no image"), "{text}");

    // As files that are there, they make a blueprint.
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in [
        ("api/Dockerfile", "FROM host\nCMD true\n"),
        ("jobs/Dockerfile.prod", "FROM host AS run\nARG LEVEL\nENV LEVEL=$LEVEL\nCMD [\"true\"]\n"),
        ("a", "a"),
        ("made.js", text.as_str()),
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let evaluation = evaluate(&folder.path().join("made.js"), &Options::default());
    let evaluation = evaluation.unwrap_or_else(|faults| panic!("{faults}: {:?}", faults.faults));
    let images: Vec<String> =
        evaluation.blueprint.containers.iter().map(|container| container.image.to_string()).collect();
    assert_eq!(images, ["acme/api", "job", "own"]);
}

#[test]
fn a_compose_file_gets_the_links_that_it_shows_to_be_needed() {
    let (blueprint, text) = compose(
        r#"
name: voting
services:
  vote:
    image: acme/vote
    command: python app.py
    ports: ["5000:80"]
    environment: {REDIS_HOST: redis, MODE: db, OPTION: "it's \"$$HOME\""}
    depends_on: [redis]
  worker:
    image: acme/worker
    command: ["worker", "--queue", "redis:6379", "--db", "db:5432"]
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 256m}}}
  result:
    image: acme/result
    entrypoint: ["node", "server.js"]
    ports: ["127.0.0.1:5001:80/tcp"]
    environment:
      - DATABASE_URL=postgres://u:${DB_PASSWORD:-secret}@db/votes
    restart: unless-stopped
  redis: {image: "redis:7", expose: [6379]}
  db:
    image: "postgres:16"
    command: postgres
    volumes: ["data:/var/lib/postgresql/data", "/srv/init:/init:ro", "./local:/x"]
  lonely: {image: nginx}
  apart: {image: acme/apart, command: "sh -c 'curl http://db:5432'", networks: [other]}
volumes: {data: {}}
networks: {other: {}}
"#,
    );
    assert_eq!(blueprint.name, "voting");
    assert_eq!(
        links(&blueprint).into_iter().collect::<BTreeSet<_>>(),
        [
            "vote -> redis:6379/tcp",
            "worker -> redis:6379/tcp",
            "worker -> db:5432/tcp",
            "result -> db:5432/tcp"
        ]
        .map(str::to_owned)
        .into()
    );
    let published: Vec<String> = blueprint.publishes.iter().map(ToString::to_string).collect();
    assert_eq!(published, ["5001 -> result:80/tcp", "5000 -> vote:80/tcp"]);
    assert!(text.contains("// DATABASE_URL") && text.contains("// - ./local of db is not mounted"), "{text}");
    assert_eq!(blueprint.service("worker").unwrap().members.len(), 2);
    let worker = blueprint.container("worker-1").unwrap();
    assert_eq!((worker.limits.memory_bytes, worker.limits.cpu_milli), (Some(256 << 20), Some(500)));
    let vote = blueprint.container("vote").unwrap();
    assert_eq!(vote.env["OPTION"], r#"it's "$HOME""#.into());
    assert_eq!(vote.command, ["python", "app.py"]);
    assert_eq!(blueprint.container("db").unwrap().mounts.len(), 2);
}

#[test]
fn names_and_texts_that_are_hostile_stay_texts() {
    let (blueprint, text) = compose(
        "
services:
  'Up_per.Case': {image: a, command: [\"*/ }); `$${x}` \\u2028 //\", 'b']}
  'class': {image: \"x'); evil('\", command: [a], environment: {'__proto__': p, \"a'b\": \"\\\\\"}}
  '1': {image: a, command: [x], depends_on: ['class']}
  'up-per-case': {image: a, command: [x]}
",
    );
    let names: Vec<&str> = blueprint.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["x1", "up-per-case", "class", "up-per-case-x"], "{text}");
    assert_eq!(blueprint.containers[2].env.len(), 2);
    assert_eq!(blueprint.containers[1].command[0], "*/ }); `${x}` \u{2028} //");
}

#[test]
fn anything_in_a_list_of_services_may_be_nothing() {
    let (blueprint, _) =
        compose("services:\n  a: {image: nginx, ports: null, networks: null}\n  b: {image: redis}\n");
    assert_eq!(blueprint.containers.len(), 2);
}

/// Manifests without policies: needed is what the texts name.
#[test]
fn manifests_get_the_links_that_they_show_to_be_needed() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx
        command: [nginx]
        env:
        - {name: DB, value: 'postgres://sql.shop.svc.cluster.local:5432/x'}
        - {name: CACHE_HOST, value: cache}
        - {name: CACHE_PORT, value: '6379'}
        - {name: WORD, valueFrom: {secretKeyRef: {name: s, key: k}}}
        - {name: MODE, valueFrom: {configMapKeyRef: {name: c, key: mode}}}
        resources: {limits: {cpu: 250m, memory: 1G}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: shop}
data: {mode: fast}
---
apiVersion: v1
kind: Pod
metadata: {name: postgres, namespace: shop, labels: {app: postgres}}
spec: {containers: [{name: p, image: postgres, command: [postgres], ports: [{name: pg, containerPort: 5433}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: shop, labels: {app: cache}}
spec: {restartPolicy: Never, containers: [{name: p, image: redis}]}
---
apiVersion: v1
kind: Service
metadata: {name: sql, namespace: shop}
spec: {selector: {app: postgres}, ports: [{port: 5432, targetPort: pg}]}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {selector: {app: cache}, ports: [{port: 6379}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";
    let cluster = read(&[("m.yaml".into(), text.into())]).unwrap();
    let draft = import::kubernetes::draft(&cluster, &reach(&cluster).unwrap(), "folder", "m.yaml");
    let blueprint = sound(&import::write(&draft));
    assert_eq!(blueprint.name, "shop");
    assert_eq!(links(&blueprint), ["web -> postgres:5433/tcp", "web -> cache:6379/tcp"]);
    assert_eq!(blueprint.publishes[0].to_string(), "80 -> web:8080/tcp");
    assert_eq!(blueprint.service("sql").unwrap().members, ["postgres"]);
    let web = blueprint.container("web-1").unwrap();
    assert_eq!(web.env["MODE"], "fast".into());
    assert_eq!(web.env["WORD"].to_string(), "(secret s-k)");
    assert_eq!((web.limits.memory_bytes, web.limits.cpu_milli), (Some(1_000_000_000), Some(250)));
    assert!(
        draft.notes.iter().any(|note| note.contains("web calls sql:5432, which is port 5433")),
        "{:?}",
        draft.notes
    );
}

/// What is exported and imported again allows the same.
#[test]
fn the_corpus_comes_back_as_it_went() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let evaluation = evaluate(&path, &Options::default()).unwrap();
        let before = quilt::checked(evaluation, &|_| true).unwrap().blueprint;
        // A manifest calls a container that is alone behind its service by the service's name.
        if before.services.iter().any(|service| service.members == [format!("{}-1", service.name)]) {
            continue;
        }
        let yaml = export::export(&before, &export::Options::default()).unwrap().yaml().unwrap();
        let cluster = read(&[("all.yaml".into(), yaml.into())]).unwrap_or_else(|faults| panic!("{faults}"));
        let draft = import::kubernetes::draft(&cluster, &reach(&cluster).unwrap(), "folder", "all.yaml");
        let text = import::write(&draft);
        let after = sound(&text);
        let names = |blueprint: &Blueprint| -> BTreeSet<String> {
            blueprint.containers.iter().map(|container| container.name.clone()).collect()
        };
        assert_eq!(names(&before), names(&after), "{text}");
        let mut ports: BTreeSet<u16> = [1, 65535].into();
        for link in before.links.iter().chain(&after.links) {
            for port in [link.ports.min, link.ports.max] {
                ports.extend([port.saturating_sub(1).max(1), port, port.saturating_add(1)]);
            }
        }
        let (index, other) = (Index::new(&before), Index::new(&after));
        for from in names(&before) {
            for to in names(&before).into_iter().filter(|to| *to != from) {
                for port in &ports {
                    for protocol in [Protocol::Tcp, Protocol::Udp] {
                        let expected = index.allowed(&from, &to, *port, protocol).is_some();
                        let found = other.allowed(&from, &to, *port, protocol).is_some();
                        assert_eq!(found, expected, "{path:?}: {from} -> {to}:{port}/{protocol}\n{text}");
                        compared += 1;
                    }
                }
            }
            for port in &ports {
                let expected = allowed_outside(&before, &from, *port, Protocol::Tcp).is_some();
                assert_eq!(
                    allowed_outside(&after, &from, *port, Protocol::Tcp).is_some(),
                    expected,
                    "{path:?}: {from}"
                );
            }
        }
        for container in &before.containers {
            let same = after.container(&container.name).unwrap();
            assert_eq!(same.command, container.command, "{path:?}");
            assert_eq!(
                same.env.keys().collect::<Vec<_>>(),
                container.env.keys().collect::<Vec<_>>(),
                "{path:?}"
            );
            assert_eq!(
                same.files.keys().collect::<Vec<_>>(),
                container.files.keys().collect::<Vec<_>>(),
                "{path:?}"
            );
            assert_eq!(
                (same.limits.memory_bytes, same.limits.cpu_milli),
                (container.limits.memory_bytes, container.limits.cpu_milli)
            );
            assert_eq!(
                (&same.user, &same.workdir, same.restart),
                (&container.user, &container.workdir, container.restart)
            );
        }
        let published = |blueprint: &Blueprint| -> BTreeSet<String> {
            blueprint.publishes.iter().map(ToString::to_string).collect()
        };
        assert_eq!(published(&before), published(&after), "{path:?}");
    }
    println!("{compared} questions");
}
