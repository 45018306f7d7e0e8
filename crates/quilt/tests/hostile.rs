//! Scripts that mean harm: none may hang, crash or exhaust the host, read a file outside, or reach the engine's
//! insides. What they get is an error, or a blueprint that says only what they wrote.

use std::fs;
use std::time::{Duration, Instant};

use quilt::eval::{Evaluation, Options, evaluate, evaluate_text};
use quilt::fault::Faults;

/// Deadline of each script; all together stay below [`PATIENCE`].
const LIMIT: Duration = Duration::from_millis(500);
/// How long one script may take in all: its deadline, the grace period, and a loaded machine.
const PATIENCE: Duration = Duration::from_secs(8);

fn run(text: &str) -> Result<Evaluation, Faults> {
    let options = Options { time_limit: LIMIT, memory_limit_bytes: 64 << 20, ..Options::default() };
    let began = Instant::now();
    let result = evaluate_text("hostile.js", text, &options);
    assert!(began.elapsed() < PATIENCE, "{:?} for {text}", began.elapsed());
    result
}

fn refused(text: &str) -> String {
    match run(text) {
        Ok(evaluation) => panic!("accepted {text}: {:?}", evaluation.blueprint),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn recursion_of_every_kind_ends() {
    let deep = "the blueprint calls itself too deeply";
    for text in [
        "function f() { f(); }\nf();",
        "const f = () => [1].map(f);\nf();",
        "const o = {};\no.toString = () => `${o}`;\n`${o}`;",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] });\np.x;",
        "class A { get x() { return this.x; } }\nnew A().x;",
        "let x = [];\nfor (let i = 0; i < 1e5; i += 1) x = [x];\nJSON.stringify(x);",
    ] {
        let fault = refused(text);
        assert!(fault.contains(deep), "{text}: {fault}");
    }
    for text in [
        format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)),
        format!("JSON.parse('{}')", "[".repeat(100_000)),
        format!("new RegExp('{}')", "(".repeat(100_000)),
        format!("({{a: {}1{} }})", "{a:".repeat(20_000), "}".repeat(20_000)),
        "-".repeat(100_000),
        "`${".repeat(50_000),
    ] {
        let _ = run(&text);
    }
}

#[test]
fn memory_of_every_kind_is_bounded() {
    for text in [
        "'x'.repeat(2 ** 40);",
        "'x'.repeat(2 ** 29).repeat(2);",
        "new Array(2 ** 32 - 1).fill(0);",
        "new Uint8Array(2 ** 40);",
        "let s = 'x'; for (;;) s = [s, s].join();",
        "const m = new Map(); for (let i = 0; ; i += 1) m.set(i, { i });",
        "const o = {}; for (let i = 0; ; i += 1) o['k' + i] = i;",
        "let f = () => 1; for (;;) { const g = f; f = () => g; }",
        "const l = []; for (;;) l.push(Promise.resolve(l));",
        "const l = []; for (;;) { try { l.push('x'.repeat(1e6) + l.length); } catch { l.push(1); } }",
        "let b = 1n; for (;;) b = b * b + 3n;",
        "Array.from({ length: 2 ** 31 });",
        "[].concat(...new Array(1e8));",
        "'a'.padEnd(2 ** 30).split('');",
        "Object.assign([], { length: 4294967295 }).sort();",
    ] {
        refused(text);
    }
}

#[test]
fn time_of_every_kind_is_bounded() {
    for text in [
        "for (;;) {}",
        "do { try { throw 1; } catch { continue; } } while (true);",
        "for (;;) { try { for (;;) {} } catch {} finally { for (;;) {} } }",
        "/(a+)+b/.test('a'.repeat(64));",
        "/(?:a|a|b)*c/.test('a'.repeat(1000));",
        "'a'.repeat(100000).replace(/(a*)*b/g, '');",
        "const again = () => { Promise.resolve().then(again); }; again();",
        "for await (const x of (async function* () { for (;;) yield 1; })()) { x; }",
        "function* g() { yield* g(); } for (const x of { [Symbol.iterator]: () => ({ next: () => ({}) }) }) x;",
        "[...{ [Symbol.iterator]() { return { next: () => ({ done: false }) }; } }].length;",
        "new Set((function* () { for (;;) yield 1; })());",
        "eval('for (;;) {}');",
        "new Function('for (;;) {}')();",
    ] {
        let fault = refused(text);
        assert!(fault.contains("ran for more than") || fault.contains("of memory"), "{text}: {fault}");
    }
}

/// Memory runs out about when time does. A job that the engine drops for want of memory takes its promise along, so
/// that the script may also be found waiting for nothing.
#[test]
fn an_endless_chain_of_promises_ends() {
    let fault = refused("const p = () => Promise.resolve().then(p); await p();");
    let ends = ["ran for more than", "of memory", "waits for something that never happens"];
    assert!(ends.iter().any(|end| fault.contains(end)), "{fault}");
}

#[test]
fn an_endless_built_in_is_abandoned() {
    let fault = refused("[].indexOf.call({ length: 2 ** 53 - 1 }, 1);");
    assert!(fault.contains("ran for more than 500 ms"), "{fault}");
}

#[test]
fn redefined_built_ins_change_nothing() {
    let text = "import { Container, Service, allow, publish } from 'weft';
Object.prototype.image = 'evil';
Object.prototype.toJSON = () => 'evil';
Object.prototype.__weft = { place: 1 };
Array.prototype.push = () => { throw new Error('push'); };
Array.prototype[Symbol.iterator] = null;
Array.isArray = () => true;
JSON.stringify = JSON.parse = null;
Map.prototype.get = Set.prototype.add = WeakMap.prototype.get = WeakMap.prototype.set = () => 'evil';
Reflect.apply = Reflect.ownKeys = Object.defineProperty = Object.keys = null;
globalThis.Error = globalThis.TypeError = globalThis.Object = globalThis.Array = class { get stack() { throw 1; } };
String.prototype.toString = () => 'evil';
const a = new Container('a', { command: ['a'], env: { A: 'b' }, replicas: 2 });
const b = new Container('b', { command: ['b'] });
const s = new Service('s', [b]);
allow([a, b], s, 80);
publish(s, 8080, 80);
";
    let evaluation = run(text).unwrap_or_else(|faults| panic!("{faults}"));
    let blueprint = quilt::checked(evaluation, &|_| false).unwrap().blueprint;
    let names: Vec<&str> = blueprint.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "b"]);
    assert_eq!(blueprint.containers[0].image, quilt::model::Image::Host);
    assert_eq!(blueprint.links.len(), 2);
    assert_eq!(blueprint.links[0].span.line, 16);
    assert_eq!(blueprint.services.iter().find(|service| service.name == "s").unwrap().members, ["b"]);
}

#[test]
fn values_that_fight_back_are_errors() {
    let container =
        |value: &str| format!("import {{ Container, allow }} from 'weft';\nnew Container('c', {value});");
    for value in [
        "{ get command() { throw new Error('no'); } }",
        "{ command: { get 0() { throw 1; } } }",
        "{ env: new Proxy({}, { ownKeys() { throw new Error('no'); } }) }",
        "{ env: new Proxy({}, { ownKeys() { for (;;) {} } }) }",
        "{ env: new Proxy({ a: 1 }, { get() { for (;;) {} } }) }",
        "new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => 'k' + i) })",
        "{ command: new Array(4294967295) }",
        "{ command: [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]] }",
        "{ command: [Symbol('x')] }",
        "{ command: [10n ** 1000n] }",
        "{ command: [() => 1] }",
        "{ command: ['\\0'] }",
        "{ command: ['x'], replicas: 1e300 }",
        "{ command: ['x'], replicas: -1 }",
        "{ command: ['x'], replicas: NaN }",
        "{ command: ['x'], replicas: 10000, files: { '/big': 'x'.repeat(1e6) } }",
        "{ command: ['x'], cpu: Infinity }",
        "{ command: ['x'], memory: -1 }",
        "{ command: ['x'], env: { '\\ud800=': 'x' } }",
        "{ command: ['\\ud800'] }",
        "null",
        "7",
    ] {
        let result = run(&container(value)).and_then(|evaluation| quilt::checked(evaluation, &|_| false));
        let faults = match result {
            Ok(loaded) => panic!("accepted {value}: {:?}", loaded.blueprint.containers),
            Err(faults) => faults,
        };
        assert!(!faults.faults.is_empty(), "{value}");
    }
    let cyclic =
        "import { Container } from 'weft';\nconst o = { command: [] };\no.env = o;\nnew Container('c', o);";
    assert!(refused(cyclic).contains("values nest too deeply"));
}

#[test]
fn exceptions_that_fight_back_are_still_reported() {
    for (thrown, expected) in [
        ("{ get message() { throw this; }, get name() { for (;;) {} } }", "ran for more than"),
        ("new Proxy({}, { get() { throw 1; } })", "the script threw an object"),
        ("Object.assign(new Error('x'), { stack: { toString() { throw 1; } } })", "x"),
        ("Object.assign(new Error('x'), { stack: 'at hostile.js:999999999:999999999' })", "x"),
        ("Object.assign(new Error('x'), { message: 'm'.repeat(1e6) })", "mmm"),
        ("undefined", "the script threw nothing"),
        ("null", "the script threw null"),
        ("'text'", "the script threw text"),
        ("Symbol()", "the script threw a symbol"),
    ] {
        let fault = refused(&format!("throw {thrown};"));
        assert!(fault.contains(expected), "{thrown}: {fault}");
        assert!(fault.len() < 5_000);
    }
    let fault = refused("Error.prepareStackTrace = () => { for (;;) {} };\nnull.x;");
    assert!(fault.contains("hostile.js"), "{fault}");
}

#[test]
fn nothing_of_the_host_is_in_reach() {
    let text = "import { Container } from 'weft';
const names = ['__weft', 'std', 'os', 'bjson', 'scriptArgs', 'print', 'load', 'fetch', 'Deno', 'Bun', 'performance',
  'WeakRef', 'setTimeout', 'XMLHttpRequest', 'Worker', 'navigator', 'require', 'module'];
const found = names.filter((name) => name in globalThis);
new Container('c', { command: ['x', ...found, JSON.stringify(process.env)] });";
    assert_eq!(run(text).unwrap().blueprint.containers[0].command, ["x", "{}"]);
    for module in [
        "std",
        "os",
        "child_process",
        "net",
        "weft:core",
        "weft:require",
        "weft:weft",
        "/etc/passwd",
        "file:///etc/passwd",
        "https://example.com/x.js",
        "",
        "\\0",
    ] {
        let fault = refused(&format!("await import('{module}');"));
        assert!(fault.contains("cannot import"), "{module}: {fault}");
    }
    assert!(refused("import 'weft:core';").contains("cannot import 'weft:core'"));
    assert!(refused("const m = require('child_process');").contains("cannot import 'child_process'"));
}

#[test]
fn files_outside_the_directory_stay_outside() {
    let top = tempfile::tempdir().unwrap();
    fs::write(top.path().join("secret.js"), "export const secret = 'outside';").unwrap();
    fs::write(top.path().join("secret.txt"), "outside").unwrap();
    let folder = top.path().join("blueprint");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("../secret.js", folder.join("link.js")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
    std::os::unix::fs::symlink("loop.js", folder.join("loop.js")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero.js")).unwrap();
    std::os::unix::net::UnixListener::bind(folder.join("socket.js")).unwrap();
    fs::write(folder.join("big.js"), vec![b' '; 5 << 20]).unwrap();
    fs::write(folder.join("binary.js"), [0xff, 0xfe, 0]).unwrap();
    let refused = |text: &str| {
        fs::write(folder.join("main.js"), text).unwrap();
        evaluate(&folder.join("main.js"), &Options::default()).unwrap_err().to_string()
    };
    let climbing = [
        "../secret.js",
        "./../secret.js",
        "./x/../../secret.js",
        "/etc/passwd",
        "/blueprint/../secret.js",
        "./link.js",
        "./up/secret.js",
        "./loop.js",
        "./zero.js",
        "./socket.js",
        "./big.js",
        "./binary.js",
        "./.",
        "..",
    ];
    for path in climbing {
        let fault = refused(&format!("import x from '{path}';"));
        assert!(fault.contains("cannot import") || fault.contains("cannot read"), "import {path}: {fault}");
        let fault = refused(&format!("const x = require('{path}');"));
        assert!(fault.contains("cannot import") || fault.contains("cannot read"), "require {path}: {fault}");
    }
    for path in [
        "../secret.txt",
        "/etc/passwd",
        "up/secret.txt",
        "/blueprint/up/secret.txt",
        "/proc/self/environ",
        "\\0",
    ] {
        let fault = refused(&format!("const fs = require('fs');\nfs.readFileSync('{path}');"));
        assert!(fault.contains("main.js:2:1: cannot read"), "{path}: {fault}");
        fs::write(
            folder.join("main.js"),
            format!("if (require('fs').existsSync('{path}')) throw new Error('seen');"),
        )
        .unwrap();
        evaluate(&folder.join("main.js"), &Options::default()).unwrap();
    }
}

#[test]
fn console_output_is_bounded() {
    let evaluation = run("for (let i = 0; i < 10000; i += 1) console.log('é'.repeat(100));").unwrap();
    assert!(evaluation.console.len() <= quilt::eval::CONSOLE_BYTES_MAX);
    assert!(evaluation.console.len() > quilt::eval::CONSOLE_BYTES_MAX / 2);
    run("console.log({ toString() { throw 1; }, toJSON() { throw 2; } }, Symbol(), null, undefined, 1n);")
        .unwrap();
}

#[test]
fn more_containers_and_links_than_allowed_are_refused() {
    let many = "import { Container } from 'weft';
        for (let i = 0; i < 10001; i += 1) new Container(`c${i}`, { command: ['x'] });";
    // As long as it takes: not the time is tried here.
    let options = Options { time_limit: Duration::from_secs(300), ..Options::default() };
    let result = evaluate_text("many.js", many, &options).and_then(|e| quilt::checked(e, &|_| false));
    assert!(result.unwrap_err().faults[0].to_string().contains("too many containers"));
    let links = "import { Container, allow } from 'weft';
        const c = new Container('c', { command: ['x'] });
        for (let i = 0; i < 100001; i += 1) allow(c, c, 1 + i % 65535);";
    let result = evaluate_text("many.js", links, &options).and_then(|e| quilt::checked(e, &|_| false));
    assert!(result.unwrap_err().faults[0].to_string().contains("100001 links"));
}
