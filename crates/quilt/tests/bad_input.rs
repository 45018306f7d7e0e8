//! Bad blueprints: each gets one clear error, at its line, that says what to do.

use std::time::{Duration, Instant};

use miette::NarratableReportHandler;
use quilt::eval::{Options, evaluate_text};
use quilt::fault::Faults;

fn options() -> Options {
    Options { time_limit: Duration::from_millis(700), ..Options::default() }
}

fn faults(text: &str) -> Faults {
    let evaluated = evaluate_text("blueprint.js", text, &options());
    match evaluated.and_then(|evaluation| quilt::checked(evaluation, &|_| false)) {
        Ok(loaded) => panic!("accepted: {:?}", loaded.blueprint),
        Err(faults) => faults,
    }
}

/// `line: message | help` of each fault.
fn lines(text: &str) -> Vec<String> {
    let line = |fault: &quilt::fault::Fault| {
        let help = fault.kind.help().map(|help| format!(" | {help}")).unwrap_or_default();
        format!("{}: {fault}{help}", fault.span.line)
    };
    faults(text).faults.iter().map(line).collect()
}

#[track_caller]
fn one(text: &str, expected: &str) {
    assert_eq!(lines(text), [expected]);
}

const HEAD: &str = "import { Container, Service, allow, publish, Secret, PortRange } from 'weft';\n\
                    const web = new Container('web', { command: ['web'] });\n";

#[track_caller]
fn after_head(text: &str, expected: &str) {
    one(&format!("{HEAD}{text}"), expected);
}

#[test]
fn an_error_is_shown_with_its_line() {
    let faults = faults(&format!("{HEAD}\nallow('client', web, 80);\n"));
    let mut shown = String::new();
    NarratableReportHandler::new().render_report(&mut shown, &faults.faults[0]).unwrap();
    let expected = "the link names 'client', which does not exist
    Diagnostic severity: error
Begin snippet for blueprint.js starting at line 3, column 1

snippet line 3: 
snippet line 4: allow('client', web, 80);
    label at line 4, columns 1 to 25: here
diagnostic help: create a container or a service of that name
diagnostic code: quilt::name
";
    assert_eq!(shown, expected);
    assert_eq!(faults.to_string(), "blueprint.js:4:1: the link names 'client', which does not exist");
}

#[test]
fn a_syntax_error() {
    after_head(
        "\nconst db = new Container('db', { command: ['db' };\n",
        "4: syntax error: Unexpected token '}'",
    );
    one("const a = 'open", "1: syntax error: unexpected end of string");
}

#[test]
fn an_endless_loop() {
    let began = Instant::now();
    let help = "the blueprint ran for more than 700 ms | look for a loop that does not end";
    after_head("\nwhile (true) {}\n", &format!("4: {help}"));
    after_head("let n = 0;\nfor (;;) {\n  n += 1;\n}", &format!("4: {help}"));
    after_head(
        "function spin() { return spin2(); }\nasync function spin2() { for (;;) await null; }\nawait spin();",
        &format!("4: {help}"),
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn ten_gigabytes() {
    let help =
        "the blueprint needs more than 256 MiB of memory | look for a list or string that grows without end";
    after_head("const buffer = new ArrayBuffer(10 * 1024 ** 3);", &format!("3: {help}"));
    after_head("let text = 'x';\nfor (;;) {\n  text += text;\n}", &format!("5: {help}"));
    let patient = Options { time_limit: Duration::from_secs(60), ..Options::default() };
    let grow = format!("{HEAD}const list = [];\nfor (;;) {{\n  list.push(new Array(100000).fill(7));\n}}");
    let faults = evaluate_text("a.js", &grow, &patient).unwrap_err();
    assert_eq!(faults.to_string(), "a.js:5:3: the blueprint needs more than 256 MiB of memory");
}

#[test]
fn memory_used_up_to_the_last_byte() {
    let patient =
        Options { time_limit: Duration::from_secs(60), memory_limit_bytes: 32 << 20, ..Options::default() };
    let text = "let list;\nfor (;;) {\n  list = { list };\n}";
    let faults = evaluate_text("a.js", text, &patient).unwrap_err();
    assert_eq!(faults.to_string(), "a.js:2:1: the blueprint needs more than 32 MiB of memory");
}

#[test]
fn an_unknown_name() {
    after_head(
        "allow('client', web, 80);",
        "3: the link names 'client', which does not exist | create a container or a service of that name",
    );
    after_head(
        "allow('wed', web, 80);",
        "3: the link names 'wed', which does not exist | did you mean 'web'?",
    );
    after_head("allow(client, web, 80);", "3: ReferenceError: client is not defined");
    one(
        "import { Contaner } from 'weft';",
        "1: module 'weft' has no export 'Contaner' | did you mean 'Container'?",
    );
    after_head(
        "publish('db', 80);",
        "3: the published port names 'db', which does not exist | create a container or a service of that name",
    );
}

#[test]
fn two_containers_of_one_name() {
    after_head(
        "\nnew Container('web', { command: ['other'] });",
        "4: two containers are called 'web' | the first is at blueprint.js:2:1; give one of them another name, or use `replicas`",
    );
    after_head(
        "new Service('web', [web]);",
        "3: two things are called 'web' | the first is at blueprint.js:2:1; give one of them another name, or use `replicas`",
    );
}

#[test]
fn a_port_out_of_range() {
    let help = "ports are whole numbers from 1 to 65535";
    after_head("allow(web, web, 0);", &format!("3: port 0 of the link web -> web is out of range | {help}"));
    after_head(
        "allow(web, web, 65536);",
        &format!("3: port 65536 of the link web -> web is out of range | {help}"),
    );
    after_head(
        "allow(web, web, 80.5);",
        &format!("3: port 80.5 of the link web -> web is out of range | {help}"),
    );
    after_head(
        "publish(web, 99999, 80);",
        &format!("3: port 99999 of the published port of web is out of range | {help}"),
    );
    after_head(
        "allow(web, web, new PortRange(90, 80));",
        "3: port range 90-80 of the link web -> web is upside down | write PortRange(80, 90)",
    );
    after_head(
        "allow(web, web, '80');",
        "3: port of the link web -> web must be a number, Port or PortRange, found '80'",
    );
    after_head(
        "publish(web, 8080);\npublish(web, 8080, 81);",
        "4: host port 8080/tcp is published twice | the first is at blueprint.js:3:1; choose another host port",
    );
}

#[test]
fn a_missing_command() {
    after_head(
        "new Container('db');",
        "3: container 'db' has no command | say what it runs: `command: ['/usr/bin/program', 'argument']`",
    );
    after_head(
        "new Container('db', { image: 'acme/db:2' });",
        "3: container 'db' has no command | weft pulls no images: say which program of this host stands in for \
         'acme/db:2' with `command: ['…']`",
    );
    after_head(
        "new Container('db', { replicas: 50 });",
        "3: container 'db-1' has no command | say what it runs: `command: ['/usr/bin/program', 'argument']`",
    );
}

#[test]
fn bad_names_options_and_values() {
    let label = "names are DNS labels: 1 to 63 of a-z, 0-9 and '-', and no '-' at either end";
    after_head(
        "new Container('My_DB', { command: 'x' });",
        &format!("3: 'My_DB' is not a valid name for a container: it has capitals | {label}"),
    );
    after_head(
        "new Container('db', { comand: 'x', command: 'x' });",
        "3: container 'db' has no option 'comand' | did you mean 'command'?",
    );
    after_head(
        "new Container('db', { command: 'x', memory: 'lots' });",
        "3: memory of container 'db' must be a number of bytes or a string such as '256M', found 'lots'",
    );
    after_head(
        "new Container('db', { command: 'x', env: { A: {} } });",
        "3: 'A' in env of container 'db' must be a string or a Secret, found an object",
    );
    after_head(
        "new Container('db', { command: 'x', files: { 'etc/x': '' } });",
        "3: path 'etc/x' of container 'db' is not absolute | write an absolute path without '.', '..' or '//', such as '/etc/app.conf'",
    );
    after_head(
        "new Container('db', { command: 'x', env: { PASSWORD: new Secret('db-pass') } });",
        "3: secret 'db-pass' of container 'db' has no value | set it in the environment: WEFT_SECRET_DB_PASS=… weft up …",
    );
    after_head(
        "new Service('all', []);",
        "3: service 'all' has no containers | give it at least one container",
    );
    after_head(
        "new Service('all', [web, web]);",
        "3: service 'all' has container 'web' twice | name each container once",
    );
    after_head(
        "allow({}, web, 80);",
        "3: TypeError: the source of a link must be a container, a service, publicInternet, a name or a list of these",
    );
}

#[test]
fn nothing_to_deploy() {
    let lines = lines("const a = 1;");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("0: the blueprint has no containers | create one"), "{lines:?}");
}

#[test]
fn what_kelda_does_not_deploy_is_an_error_where_it_is_used() {
    let text = "const { Container, Infrastructure, Machine, allowTraffic } = require('kelda');
const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure(machine, machine);
const web = new Container('web', 'nginx');
const db = new Container('db', 'redis');
web.deploy(infrastructure);
allowTraffic(web, db, 6379);
";
    one(text, "7: the link names 'db', which is never deployed | deploy 'db' with `.deploy(infrastructure)`");
}

#[test]
fn every_error_is_reported_at_once() {
    let text = format!(
        "{HEAD}new Container('-', {{ command: 'x' }});\nallow('nobody', web, 80);\nallow(web, web, 99999);\nnew Container('db');\n"
    );
    let at: Vec<u32> = faults(&text).faults.iter().map(|fault| fault.span.line).collect();
    assert_eq!(at, [3, 4, 5, 6]);
}

#[test]
fn many_errors_are_bounded() {
    let text = format!("{HEAD}for (let i = 0; i < 500; i += 1) allow('nobody' + i, web, 80);");
    let faults = faults(&text);
    assert_eq!(faults.faults.len(), quilt::fault::FAULTS_MAX);
    assert_eq!(faults.to_string(), "500 errors in the blueprint, of which the first 50 are shown");
}

#[test]
fn a_file_that_is_not_there() {
    let faults = quilt::load(std::path::Path::new("/nonexistent/shop.js"), &options()).unwrap_err();
    assert_eq!(
        faults.faults[0].to_string(),
        "cannot read /nonexistent/shop.js: No such file or directory (os error 2)"
    );
}

#[test]
fn what_happens_over_time_is_said_in_full() {
    let container = |options: &str| format!("new Container('a', {{ command: ['a'], {options} }});");
    for (options, expected) in [
        (
            "health: {}",
            "health of container 'a' must be an object with one of command, http and tcp, such as { tcp: 5432 }, found \
             'none of these'",
        ),
        (
            "health: { tcp: 80, http: 80 }",
            "health of container 'a' must be an object with one of command, http and tcp, such as { tcp: 5432 }, found \
             'http and tcp'",
        ),
        (
            "health: { tcp: 80, intervall: '5s' }",
            "health of container 'a' has no option 'intervall' | did you mean 'interval'?",
        ),
        (
            "health: { tcp: 65536 }",
            "port 65536 of health of container 'a' is out of range | ports are whole numbers from 1 to 65535",
        ),
        (
            "health: { http: { port: 80, path: 'x' } }",
            "http of health of container 'a' must be a port, or { port, path } with a path such as '/health', found 'x'",
        ),
        (
            "health: { tcp: 80, interval: 5 }",
            "interval of health of container 'a' must be a time with its unit, from '50ms' to '24h', such as '5s', found 5",
        ),
        (
            "health: { tcp: 80, timeout: '0s' }",
            "timeout of health of container 'a' must be a time with its unit, above '0ms' and up to '24h', such as '500ms', \
             found '0s'",
        ),
        (
            "health: { tcp: 80, retries: 0 }",
            "retries of health of container 'a' must be a whole number from 1 to 1000, found 0",
        ),
        (
            "health: { tcp: 80, restartAfter: 3 }, restart: 'never'",
            "restartAfter of the health check of container 'a' contradicts `restart: 'never'`",
        ),
        (
            "readyWithin: 'soon'",
            "readyWithin of container 'a' must be a time with its unit, above '0ms' and up to '24h', such as '500ms', \
             found 'soon'",
        ),
        (
            "replicas: 2, update: { batch: 0 }",
            "batch of update of container 'a' must be a whole number from 1 to 10000, found 0",
        ),
        (
            "update: { batch: 1 }",
            "update of container 'a' needs `replicas`; a service of several containers has it as `new Service(name, \
             containers, { update })`",
        ),
        (
            "dependsOn: ['wbe']",
            "dependsOn of container 'a' names 'wbe', which does not exist | create a container or a service of that name",
        ),
        ("dependsOn: ['a']", "containers wait for each other: a -> a | take one of them out of `dependsOn`"),
    ] {
        after_head(&container(options), &format!("3: {expected}"));
    }
    after_head(
        "new Service('s', [web], { updates: {} });",
        "3: service 's' has no option 'updates' | did you mean 'update'?",
    );
    let text = "new Container('a', { command: ['a'], dependsOn: [web, 'b'] });\n\
                new Container('b', { command: ['b'], dependsOn: 'a' });";
    after_head(text, "3: containers wait for each other: a -> b -> a | take one of them out of `dependsOn`");
    let mut shown = String::new();
    let faults = faults(&format!("{HEAD}{text}"));
    NarratableReportHandler::new().render_report(&mut shown, &faults.faults[0]).unwrap();
    assert!(shown.contains("a waits for b") && shown.contains("b waits for a"), "{shown}");
    assert_eq!(
        lines(&format!("{HEAD}new Container('a', {{ command: ['a'], dependsOn: [42] }});")),
        [
            "3: TypeError: what a container depends on must be a container, a service, publicInternet, a name or a list of these"
        ]
    );
}
