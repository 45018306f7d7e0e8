//! Images: an empty root, OCI layouts, archives of `docker save`, Dockerfiles; as root and as an ordinary user.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tar::EntryType;

use crate::harness::{Weft, Who, eventually};
use crate::oci::{Image, Layer, busybox, sha256};

/// What the log of a container says.
fn says(weft: &Weft, container: &str, text: &str) {
    let there = eventually(|| weft.ok(&["logs", container]).contains(text));
    assert!(there, "{container} says {text}: {}", weft.ok(&["logs"]));
}

/// Takes down what runs, and what is kept of images.
fn ends(weft: &Weft) {
    weft.ok(&["stop"]);
    weft.ok(&["images", "prune"]);
    weft.nothing_left();
}

/// The layer of a small system.
fn system() -> Layer {
    Layer::new().busybox()
}

#[test]
fn an_empty_root_has_what_the_blueprint_gives_it_as_root() {
    scratch(Who::Root);
}

#[test]
fn an_empty_root_has_what_the_blueprint_gives_it_as_an_ordinary_user() {
    scratch(Who::User);
}

fn scratch(who: Who) {
    let weft = Weft::new(who);
    let mounts: Vec<_> = busybox()
        .iter()
        .map(|(path, _)| {
            let source = if path == "/bin/busybox" {
                fs::canonicalize(path).unwrap_or_else(|_| "/usr/bin/busybox".into())
            } else {
                path.into()
            };
            format!("'{path}': hostPath('{}', {{readOnly: true}})", source.display())
        })
        .collect();
    let text = format!(
        "import {{Container, allow, hostPath}} from 'weft';\n\
         const mounts = {{{}}};\n\
         const files = {{'/srv/page': 'from nothing'}};\n\
         const web = new Container('web', {{image: 'scratch', command: ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/srv'], mounts, files}});\n\
         const client = new Container('client', {{image: 'scratch', mounts, command: ['/bin/busybox', 'sleep', '1000']}});\n\
         allow(client, web, 80);\n",
        mounts.join(", ")
    );
    weft.ok(&["up", &weft.blueprint("scratch.js", &text)]);
    let inside = |words: &[&str]| weft.inside("client", &[&["/bin/busybox"], words].concat());
    let top = inside(&["ls", "/"]);
    for name in ["etc", "usr", "home", "var"] {
        assert!(name == "etc" || !top.lines().any(|line| line == name), "{name} of the host: {top}");
    }
    assert_eq!(
        inside(&["ls", "/etc"]).split_whitespace().collect::<Vec<_>>(),
        ["hostname", "hosts", "resolv.conf"]
    );
    assert_eq!(inside(&["cat", "/etc/hostname"]).trim(), "client");
    assert!(inside(&["ls", "/proc/self"]).contains("status") && inside(&["ls", "/dev"]).contains("null"));
    assert_eq!(inside(&["wget", "-q", "-O", "-", "http://web/page"]), "from nothing");
    ends(&weft);
}

#[test]
fn an_oci_image_runs_as_it_says_as_root() {
    oci(Who::Root);
}

#[test]
fn an_oci_image_runs_as_it_says_as_an_ordinary_user() {
    oci(Who::User);
}

fn oci(who: Who) {
    let weft = Weft::new(who);
    let config = json!({
        "Env": ["GREETING=hello", "PATH=/bin"], "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["echo $GREETING $(id -u) $(pwd) $(ls /data); exec sleep 1000"],
        "WorkingDir": "/srv/", "User": "web", "ExposedPorts": {"8080/tcp": {}},
    });
    let image = Image::new(config)
        .packed(system().file("data/gone", "x").file("data/kept", "x").file("old/x", "x").add(
            EntryType::Directory,
            "srv",
            0o755,
            1000,
            b"",
            "",
        ))
        .layer(
            Layer::new()
                .file("data/.wh.gone", "")
                .file("old/.wh..wh..opq", "")
                .file("old/y", "y")
                .link("latest", "/data/kept"),
        )
        .finish();
    image.directory(&weft.home().join("layout"));
    image.archive(&weft.home().join("app.tar"));
    let text = |source: &str| {
        format!(
            "import {{Container, allow}} from 'weft';\n\
             const app = new Container('app', {{image: 'oci:{source}'}});\n\
             const other = new Container('other', {{image: 'oci:./app.tar', command: ['echo other $GREETING $(id -u); sleep 1000'], env: {{GREETING: 'mine'}}, user: '0'}});\n\
             allow(other, app);\n"
        )
    };
    let file = weft.blueprint("oci.js", &text("./layout"));
    assert!(weft.ok(&["plan", &file]).contains("+ link other -> app:8080/tcp"), "the exposed port");
    weft.ok(&["up", &file]);
    says(&weft, "app", "hello 1000 /srv kept\n");
    says(&weft, "other", "other mine 0\n");
    assert_eq!(weft.inside("app", &["/bin/ls", "/old"]).trim(), "y", "an opaque directory");
    assert_eq!(weft.inside("app", &["/bin/cat", "/latest"]), "x");
    let rows = weft.json(&["images", "--json"]);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 1, "a directory and an archive of one image are one: {rows:?}");
    assert_eq!((rows[0]["layers"].as_u64(), rows[0]["used_by"][0].as_str()), (Some(2), Some("oci")));
    assert!(
        weft.fails(&["images", "rm", rows[0]["name"].as_str().expect("a name")])
            .contains("containers of oci run on")
    );
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
    // What is written inside stays in the container.
    weft.ok(&["exec", "-u", "0", "app", "--", "/bin/touch", "/data/new"]);
    assert_eq!(weft.inside("other", &["/bin/ls", "/data"]).trim(), "kept");
    // Another content, under the same name.
    let config =
        json!({"Cmd": ["/bin/sh", "-c", "echo second; sleep 1000"], "ExposedPorts": {"8080/tcp": {}}});
    fs::remove_dir_all(weft.home().join("layout")).expect("to remove it");
    Image::new(config).layer(system()).finish().directory(&weft.home().join("layout"));
    let plan = weft.ok(&["plan", &file]);
    assert!(plan.starts_with("~ container app (image, command,") && !plan.contains("other"), "{plan}");
    weft.ok(&["up", &file]);
    says(&weft, "app", "second\n");
    ends(&weft);
}

#[test]
fn an_archive_of_docker_save_runs_as_root() {
    saved(Who::Root);
}

#[test]
fn an_archive_of_docker_save_runs_as_an_ordinary_user() {
    saved(Who::User);
}

fn saved(who: Who) {
    let weft = Weft::new(who);
    let config = json!({"Cmd": ["/bin/sh", "-c", "echo saved; sleep 1000"]});
    Image::new(config).layer(system()).saved(&weft.home().join("app.tar"), "acme/app:1.2");
    for (name, source) in
        [("one", "oci:app.tar"), ("two", "oci:app.tar:acme/app:1.2"), ("three", "oci:app.tar:1.2")]
    {
        let text =
            format!("import {{Container}} from 'weft';\nnew Container('app', {{image: '{source}'}});\n");
        weft.ok(&["up", &weft.blueprint(&format!("{name}.js"), &text)]);
        assert!(eventually(|| weft.ok(&["logs", "app", "-d", name]).contains("saved")), "{source}");
        weft.ok(&["stop", "-d", name]);
    }
    let text = "import {Container} from 'weft';\nnew Container('app', {image: 'oci:app.tar:other'});\n";
    let error = weft.fails(&["up", &weft.blueprint("none.js", text)]);
    assert!(error.contains("holds no image called 'other'; it holds acme/app:1.2"), "{error}");
    weft.ok(&["images", "prune"]);
    weft.nothing_left();
}

/// An image that is wrong, and what is said of it.
fn refused(weft: &Weft, what: &str, image: &Image, why: &str) {
    image.archive(&weft.home().join("bad.tar"));
    let text =
        "import {Container} from 'weft';\nnew Container('bad', {image: 'oci:bad.tar', command: ['/x']});\n";
    let error = weft.fails(&["up", &weft.blueprint("bad.js", text)]);
    let error: String = error.split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ");
    assert!(error.contains(why) && !error.contains("panicked"), "{what}: {error}");
    assert!(weft.fails(&["ps"]).contains("nothing runs"), "{what}: nothing is left running");
}

#[test]
fn images_that_are_wrong_are_refused_with_the_reason_as_root() {
    wrong(Who::Root);
}

#[test]
fn images_that_are_wrong_are_refused_with_the_reason_as_an_ordinary_user() {
    wrong(Who::User);
}

fn wrong(who: Who) {
    let weft = Weft::new(who);
    let with = |layer: Layer| Image::new(json!({})).layer(layer).finish();
    let outside = weft.home().join("outside");
    fs::write(&outside, "untouched").expect("a file");
    let up = "../".repeat(12);
    let target = format!("{up}{}", outside.strip_prefix("/").expect("a path").display());
    let passwd = with(Layer::new().file(&format!("{up}etc/passwd"), "root::0:0::/:/bin/sh\n"));
    refused(&weft, "..", &passwd, "leads out of the image by '..'");
    let through = with(Layer::new().link("out", "/etc").file("out/weft-test-escape", "x"));
    refused(
        &weft,
        "a link",
        &through,
        "an entry 'out/weft-test-escape' that goes through a link that leads out of the image",
    );
    let relative = with(Layer::new().link("a", &up).file("a/etc/weft-test-escape", "x"));
    refused(&weft, "a link upwards", &relative, "goes through a link that leads out of the image");
    let hard = with(Layer::new().add(EntryType::Link, "mine", 0o644, 0, b"", &target));
    refused(&weft, "a hard link", &hard, "which leads out of the image");
    let later = Image::new(json!({}))
        .layer(Layer::new().link("etc", "/etc"))
        .layer(Layer::new().link("etc", "/").file("etc/weft-test-escape", "x"))
        .finish();
    refused(&weft, "a link in a later layer", &later, "goes through a link that leads out of the image");
    assert!(!std::path::Path::new("/etc/weft-test-escape").exists());

    let good = || Image::new(json!({})).packed(Layer::new().file("x", &"content ".repeat(1000))).finish();
    let mut damaged = good();
    damaged.files[0].1[40] ^= 1;
    refused(&weft, "a wrong digest", &damaged, "of the image is damaged");
    let mut cut = good();
    cut.files[0].1.truncate(50);
    refused(&weft, "a layer cut short", &cut, "of the image is damaged");
    let mut missing = good();
    missing.files.remove(0);
    refused(&weft, "a missing layer", &missing, "is not in");
    let mut manifest = good();
    manifest.files.remove(2);
    refused(&weft, "a missing manifest", &manifest, "which the image names, is not in bad.tar");
    let mut other = Image::new(json!({})).layer(Layer::new().file("x", "x"));
    other.architecture = "s390x".into();
    refused(
        &weft,
        "another machine",
        &other.finish(),
        "the image is for linux/s390x, and this machine is linux/",
    );
    let mut several = good();
    let index = several.files.last_mut().expect("an index");
    let text = String::from_utf8_lossy(&index.1).into_owned();
    let mut parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let first = parsed["manifests"][0].clone();
    let called = |name: &str| {
        let mut one = first.clone();
        one["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        one
    };
    parsed["manifests"] = json!([called("v1"), called("v2")]);
    index.1 = parsed.to_string().into_bytes();
    refused(
        &weft,
        "several images",
        &several,
        "holds several images, say which by 'oci:bad.tar:v1' or 'oci:bad.tar:v2'",
    );
    let mut algorithm = good();
    let index = algorithm.files.last_mut().expect("an index");
    index.1 = String::from_utf8_lossy(&index.1).replace("sha256:", "md5:").into_bytes();
    refused(&weft, "another algorithm", &algorithm, "is no digest that weft knows");
    let mut nothing = Image::new(json!({}));
    nothing.files = vec![("readme".into(), b"x".to_vec())];
    refused(&weft, "no image", &nothing, "neither an OCI image layout");
    fs::write(weft.home().join("packed.tar.gz"), crate::oci::gzip(b"x")).expect("a file");
    let text = "import {Container} from 'weft';\nnew Container('bad', {image: 'oci:packed.tar.gz'});\n";
    assert!(weft.fails(&["up", &weft.blueprint("packed.js", text)]).contains("is compressed as a whole"));
    let text = "import {Container} from 'weft';\nnew Container('bad', {image: 'oci:../outside.tar'});\n";
    assert!(weft.fails(&["up", &weft.blueprint("up.js", text)]).contains("is outside of the blueprint's"));
    assert_eq!(fs::read_to_string(&outside).expect("the file"), "untouched");
    weft.ok(&["images", "prune"]);
    weft.nothing_left();
}

/// Writes a Dockerfile and what it copies.
fn kitchen(weft: &Weft) {
    Image::new(json!({"Env": ["PATH=/bin", "BASE=yes"], "Cmd": ["/bin/false"]}))
        .layer(system())
        .finish()
        .archive(&weft.home().join("base.tar"));
    let context = weft.home().join("app");
    fs::create_dir_all(context.join("src/deep")).expect("a directory");
    for (name, text) in [
        ("src/main", "main\n"),
        ("src/deep/more", "more\n"),
        ("src/secret.key", "secret\n"),
        (".dockerignore", "**/*.key\n"),
        ("tool.sh", "#!/bin/sh\necho tool $1\n"),
        (
            "Dockerfile",
            "# two stages\n\
             ARG FROM=base.tar\n\
             FROM oci:${FROM} AS build\n\
             ARG VERSION=1\n\
             WORKDIR /work\n\
             COPY --chmod=755 tool.sh /bin/tool\n\
             COPY src ./src/\n\
             RUN cat /proc/sys/kernel/random/uuid > id && \\\n\
             \x20   echo built $VERSION $BASE $(pwd) > result\n\
             RUN <<EOF\n\
             test ! -e src/secret.key\n\
             tool here >> result\n\
             cat src/main src/deep/more >> result\n\
             EOF\n\
             \n\
             FROM oci:base.tar\n\
             COPY --from=build --chown=web /work/result /work/id /srv/\n\
             COPY <<EOF /srv/start\n\
             cat /srv/result /srv/rest/list; exec sleep 1000\n\
             EOF\n\
             ADD rest.tar /srv/rest/\n\
             ENV GREETING=\"hello $BASE\"\n\
             WORKDIR /srv\n\
             USER web\n\
             EXPOSE 80\n\
             LABEL purpose=test\n\
             CMD [\"/bin/sh\", \"/srv/start\"]\n",
        ),
    ] {
        fs::write(context.join(name), text).expect("a file");
    }
    fs::write(context.join("rest.tar"), Layer::new().file("list", "listed\n").bytes()).expect("an archive");
}

#[test]
fn a_dockerfile_is_built_and_runs_as_root() {
    built(Who::Root);
}

#[test]
fn a_dockerfile_is_built_and_runs_as_an_ordinary_user() {
    built(Who::User);
}

fn built(who: Who) {
    let weft = Weft::new(who);
    kitchen(&weft);
    let text = |extra: &str| {
        format!(
            "import {{Container, Image}} from 'weft';\n\
             const image = new Image({{file: 'app/Dockerfile'{extra}}});\n\
             new Container('app', {{image}});\n"
        )
    };
    let file = weft.blueprint("built.js", &text(""));
    weft.ok(&["up", &file]);
    says(&weft, "app", "built 1 yes /work\n");
    for line in ["tool here\n", "main\n", "more\n", "listed\n"] {
        says(&weft, "app", line);
    }
    assert_eq!(
        weft.inside("app", &["/bin/sh", "-c", "echo $GREETING $(id -u) $(pwd)"]).trim(),
        "hello yes 1000 /srv"
    );
    let owner = weft.inside("app", &["/bin/stat", "-c", "%u", "/srv/result"]);
    assert!(
        owner.trim() == "1000" || who == Who::User,
        "{owner}: an ordinary user has no others without a range"
    );
    let id = |weft: &Weft| weft.inside("app", &["/bin/cat", "/srv/id"]);
    let first = id(&weft);
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
    assert_eq!(weft.ok(&["up", &file]).lines().next(), Some("nothing to change"));

    // A change after the first RUN keeps what it made; one before it does not.
    let dockerfile = weft.home().join("app/Dockerfile");
    let changed = fs::read_to_string(&dockerfile).expect("it").replace("tool here", "tool there");
    fs::write(&dockerfile, changed).expect("to write it");
    assert_eq!(weft.ok(&["plan", &file]).trim(), "~ container app (image changed)");
    weft.ok(&["up", &file]);
    says(&weft, "app", "tool there\n");
    assert_eq!(id(&weft), first, "what was there was used");
    fs::write(weft.home().join("app/src/main"), "other main\n").expect("to write it");
    fs::write(weft.home().join("app/src/secret.key"), "other secret\n").expect("to write it");
    assert_eq!(weft.ok(&["plan", &file]).trim(), "~ container app (image changed)");
    weft.ok(&["up", &file]);
    says(&weft, "app", "other main\n");
    let second = id(&weft);
    assert_ne!(second, first);
    fs::write(weft.home().join("app/src/secret.key"), "a third\n").expect("to write it");
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change", "what is left out changes nothing");
    let file = weft.blueprint("built.js", &text(", args: {VERSION: 2}"));
    weft.ok(&["up", &file]);
    says(&weft, "app", "built 2 yes /work\n");
    assert_ne!(id(&weft), second);
    ends(&weft);
}

#[test]
fn a_dockerfile_on_this_host_is_built_and_runs_as_root() {
    on_host(Who::Root);
}

#[test]
fn a_dockerfile_on_this_host_is_built_and_runs_as_an_ordinary_user() {
    on_host(Who::User);
}

fn on_host(who: Who) {
    let weft = Weft::new(who);
    fs::write(weft.home().join("page"), "a page\n").expect("a file");
    let dockerfile = "FROM debian:12\n\
                      COPY page /app/page\n\
                      COPY page /tmp/page\n\
                      WORKDIR /app\n\
                      RUN cat page /tmp/page > /etc/weft-test && rm /tmp/page && echo done > /opt/weft-test && mkdir /made && echo x > /made/x\n\
                      FROM scratch AS unused\n\
                      COPY --from=host /etc/os-release /\n";
    let text = format!(
        "import {{Container, Image}} from 'weft';\n\
         const image = new Image({{name: 'mine', dockerfile: `{dockerfile}`, target: '{}'}});\n\
         new Container('app', {{image, command: 'cat /etc/weft-test /opt/weft-test /made/x; ls /tmp; weft --version; sleep 1000'}});\n",
        "0"
    );
    let text = text.replace("FROM debian:12\n", "FROM debian:12 AS 0\n");
    weft.ok(&["up", &weft.blueprint("host.js", &text)]);
    says(&weft, "app", "a page\n");
    says(&weft, "app", "done\n");
    says(&weft, "app", "x\n");
    says(&weft, "app", "weft 0.");
    assert!(!weft.ok(&["logs", "app"]).contains("page\npage"), "what was removed is gone");
    assert_eq!(weft.inside("app", &["pwd"]).trim(), "/app");
    assert_eq!(weft.inside("app", &["cat", "/app/page"]), "a page\n");
    assert!(!std::path::Path::new("/etc/weft-test").exists() && !std::path::Path::new("/made").exists());
    let rows = weft.json(&["images", "--json"]);
    assert_eq!((rows[0]["name"].as_str(), rows[0]["host"].as_bool()), (Some("mine"), Some(true)));
    ends(&weft);
}

#[test]
fn dockerfiles_of_the_old_dialects_are_built() {
    for who in [Who::Root, Who::User] {
        let weft = Weft::new(who);
        let dockerfile = "'FROM debian\\nRUN echo built > /etc/weft-mine\\nENTRYPOINT [\"sh\", \"-c\"]\\n'";
        let command = "'cat /etc/weft-mine; exec sleep 1000'";
        let quilt = format!(
            "const {{ Container, Image, Machine, Service, createDeployment }} = require('@quilt/quilt');\n\
             const image = new Image('mine', {dockerfile});\n\
             const deployment = createDeployment({{ namespace: 'quilt' }});\n\
             deployment.deploy(new Service('web', [new Container(image, [{command}])]));\n\
             deployment.deploy(new Machine({{ provider: 'Amazon' }}).asMaster());\n"
        );
        let kelda = format!(
            "const {{ Container, Image, Infrastructure, Machine }} = require('kelda');\n\
             const machine = new Machine({{ provider: 'Amazon' }});\n\
             const infrastructure = new Infrastructure({{ masters: machine, workers: machine, namespace: 'kelda-own' }});\n\
             const image = new Image({{ name: 'mine', dockerfile: {dockerfile} }});\n\
             new Container({{ name: 'web', image, command: [{command}] }}).deploy(infrastructure);\n"
        );
        for (name, text, deployment) in [("q.js", quilt, "quilt"), ("k.js", kelda, "kelda-own")] {
            weft.ok(&["up", &weft.blueprint(name, &text)]);
            let said = eventually(|| weft.ok(&["logs", "-d", deployment]).contains("built"));
            assert!(said, "{name}: {}", weft.ok(&["logs", "-d", deployment]));
        }
        let rows = weft.json(&["images", "--json"]);
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "it was built once: {rows}");
        weft.ok(&["stop", "--all"]);
        weft.ok(&["images", "prune"]);
        weft.nothing_left();
    }
}

#[test]
fn a_dockerfile_that_fails_says_where_and_leaves_nothing_as_root() {
    failing(Who::Root);
}

#[test]
fn a_dockerfile_that_fails_says_where_and_leaves_nothing_as_an_ordinary_user() {
    failing(Who::User);
}

fn failing(who: Who) {
    let weft = Weft::new(who);
    Image::new(json!({"Env": ["PATH=/bin"]})).layer(system()).finish().archive(&weft.home().join("base.tar"));
    let blueprint = |dockerfile: &str| {
        format!(
            "import {{Container, Image}} from 'weft';\nconst image = new Image({{dockerfile: `{dockerfile}`}});\nnew Container('app', {{image, command: ['/x']}});\n"
        )
    };
    for (dockerfile, words) in [
        (
            "FROM oci:base.tar\nRUN true\nRUN echo last words; exit 7\n",
            &["Dockerfile of 'app':3:1", "ended with code 7", "last words"][..],
        ),
        (
            "FROM oci:base.tar\nINSTALL x\n",
            &["Dockerfile of 'app':2:1", "weft builds no instruction 'INSTALL'", "ADD, ARG, CMD, COPY"],
        ),
        (
            "FROM oci:base.tar\nCOPY ../x /\n",
            &["Dockerfile of 'app':2:1", "'../x' is outside of the blueprint's directory"],
        ),
        (
            "FROM oci:base.tar\nUSER nobody-here\nRUN true\n",
            &["Dockerfile of 'app':3:1", "user `nobody-here` is not in"],
        ),
        (
            "FROM oci:base.tar\nRUN [\"/bin/nothing\"]\n",
            &["Dockerfile of 'app':2:1", "`/bin/nothing` not found"],
        ),
        (
            "FROM oci:base.tar\nRUN echo x | nc -w 2 192.0.2.1 80\n",
            &["Dockerfile of 'app':2:1", "Network is unreachable"],
        ),
        (
            "FROM oci:base.tar\nCOPY --chown=nobody-here base.tar /x\n",
            &["Dockerfile of 'app':2:1", "nobody-here"],
        ),
    ] {
        let error = weft.fails(&["up", &weft.blueprint("failing.js", &blueprint(dockerfile))]);
        let error: String = error.split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ");
        for word in words {
            assert!(error.contains(word), "{dockerfile}: {word}: {error}");
        }
        assert!(weft.fails(&["ps"]).contains("nothing runs"));
    }
    weft.ok(&["images", "prune"]);
    weft.nothing_left();
}

#[test]
fn a_build_that_is_killed_is_done_by_the_next_command_as_root() {
    killed(Who::Root);
}

#[test]
fn a_build_that_is_killed_is_done_by_the_next_command_as_an_ordinary_user() {
    killed(Who::User);
}

fn killed(who: Who) {
    let weft = Weft::new(who);
    Image::new(json!({"Env": ["PATH=/bin"]})).layer(system()).finish().archive(&weft.home().join("base.tar"));
    let text = "import {Container, Image} from 'weft';\n\
                const image = new Image({dockerfile: 'FROM oci:base.tar\\nRUN echo one > /one; sleep 1\\nRUN cat /one > /two; sleep 1\\nCMD cat /two; sleep 1000\\n'});\n\
                new Container('app', {image});\n";
    let file = weft.blueprint("killed.js", text);
    for delay in [100, 300, 700, 1_200, 1_900] {
        weft.killed_after(&["up", &file], Duration::from_millis(delay));
        if delay == 1_200 {
            weft.stops();
        }
    }
    weft.ok(&["up", &file]);
    says(&weft, "app", "one\n");
    ends(&weft);
}

#[test]
fn images_are_listed_and_removed() {
    for who in [Who::Root, Who::User] {
        let weft = Weft::new(who);
        assert_eq!(weft.ok(&["images"]).trim(), "IMAGE  DIGEST  LAYERS  SIZE  USED BY");
        assert_eq!(weft.ok(&["images", "prune"]).trim(), "removed 0 images, 0 layers, 0 B");
        let image = Image::new(json!({"Cmd": ["/bin/sleep", "1000"]}))
            .layer(system().add(EntryType::Regular, "private", 0o000, 5, b"x", ""))
            .layer(Layer::new().file("x", "x"))
            .finish();
        image.archive(&weft.home().join("app.tar"));
        let text =
            "import {Container} from 'weft';\nnew Container('app', {image: 'oci:app.tar', replicas: 2});\n";
        weft.ok(&["up", &weft.blueprint("list.js", text)]);
        let listed = weft.ok(&["images"]);
        assert!(listed.contains("oci:app.tar") && listed.contains("list"), "{listed}");
        assert!(
            weft.fails(&["images", "rm", "nothing"])
                .contains("no image is called 'nothing'; there is oci:app.tar")
        );
        assert_eq!(weft.ok(&["images", "prune"]).trim(), "removed 0 images, 0 layers, 0 B", "it is used");
        weft.ok(&["stop"]);
        let digest = weft.json(&["images", "--json"])[0]["digest"].as_str().expect("a digest").to_owned();
        let (_, manifest) = &image.files[image.files.len() - 3];
        assert_eq!(digest, format!("sha256:{}", sha256(manifest)));
        let removed = weft.ok(&["images", "rm", &digest[7..19]]);
        assert!(removed.starts_with("removed 1 images, 2 layers, "), "{removed}");
        weft.nothing_left();
    }
}

#[test]
fn a_program_that_is_not_installed_is_named_with_its_package() {
    let weft = Weft::new(Who::Root);
    let text = "import {Container} from 'weft';\nnew Container('m', {image: 'mongo:3.4'});\nnew Container('k', {image: 'influxdb'});\n";
    let error = weft.fails(&["up", &weft.blueprint("alias.js", text)]);
    let error: String = error.split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ");
    assert!(
        error.contains(
            "image 'mongo:3.4' stands for the program mongod of this host: Debian has no package of it"
        ),
        "{error}"
    );
    assert!(
        error.contains(
            "image 'influxdb' stands for the program influxd of this host: apt-get install influxdb"
        ),
        "{error}"
    );
    weft.nothing_left();
}

/// Runs a tool of another's in a directory.
fn tool(place: &std::path::Path, words: &[&str]) {
    let output = std::process::Command::new(words[0]).args(&words[1..]).current_dir(place).output();
    let output =
        output.unwrap_or_else(|error| panic!("{}, which tests/install.sh installs: {error}", words[0]));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn images_of_other_tools_run_as_root() {
    others(Who::Root);
}

#[test]
fn images_of_other_tools_run_as_an_ordinary_user() {
    others(Who::User);
}

fn others(who: Who) {
    let weft = Weft::new(who);
    let home = weft.home().to_owned();
    let config = json!({"Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "echo $(ls /data); exec sleep 1000"]});
    Image::new(config)
        .packed(system().file("data/a", "x").file("data/b", "x"))
        .finish()
        .directory(&home.join("ours"));
    let policy = ["--insecure-policy", "copy", "--quiet"];
    let skopeo = |words: &[&str]| tool(&home, &[&["skopeo"], &policy[..], words].concat());
    skopeo(&["oci:ours", "oci:theirs:v1"]);
    skopeo(&["--dest-compress-format", "zstd", "oci:ours", "oci:zstd:v1"]);
    skopeo(&["oci:ours", "oci-archive:archive.tar:v1"]);
    skopeo(&["oci:ours", "docker-archive:saved.tar:acme/app:1"]);
    let packed = fs::read_to_string(home.join("zstd/index.json")).expect("an index");
    assert!(packed.contains("v1"), "{packed}");
    // A layer of umoci's: a file less, one more, another configuration.
    tool(&home, &["umoci", "unpack", "--rootless", "--image", "theirs:v1", "bundle"]);
    fs::remove_file(home.join("bundle/rootfs/data/a")).expect("to remove it");
    fs::write(home.join("bundle/rootfs/data/c"), "x").expect("to write it");
    tool(&home, &["umoci", "repack", "--image", "theirs:v2", "bundle"]);
    tool(
        &home,
        &["umoci", "config", "--image", "theirs:v2", "--config.user", "web", "--config.env", "NEW=yes"],
    );
    let readable = std::process::Command::new("chmod").args(["-R", "a+rX", "."]).current_dir(&home).status();
    assert!(readable.is_ok_and(|status| status.success()));
    for (name, source, listed) in [
        ("theirs", "theirs:v1", "a b"),
        ("zstd", "zstd", "a b"),
        ("archive", "archive.tar", "a b"),
        ("saved", "saved.tar:acme/app:1", "a b"),
        ("repacked", "theirs:v2", "b c"),
    ] {
        let text =
            format!("import {{Container}} from 'weft';\nnew Container('app', {{image: 'oci:{source}'}});\n");
        weft.ok(&["up", &weft.blueprint(&format!("{name}.js"), &text)]);
        let there = eventually(|| weft.ok(&["logs", "app", "-d", name]).contains(listed));
        assert!(there, "{source}: {}", weft.ok(&["logs", "app", "-d", name]));
        if name == "repacked" {
            let said = weft.ok(&["exec", "app", "-d", name, "--", "/bin/sh", "-c", "echo $NEW $(id -u)"]);
            assert_eq!(said.trim(), "yes 1000");
        }
    }
    let error = weft.fails(&[
        "plan",
        &weft.blueprint(
            "which.js",
            "import {Container} from 'weft';\nnew Container('a', {image: 'oci:theirs'});\n",
        ),
    ]);
    assert!(error.contains("holds several images"), "{error}");
    // One content is kept once, whoever packed it.
    let rows = weft.json(&["images", "--json"]);
    assert!(rows.as_array().is_some_and(|rows| rows.len() >= 4), "{rows}");
    weft.ok(&["stop", "--all"]);
    weft.ok(&["images", "prune"]);
    weft.nothing_left();
}
