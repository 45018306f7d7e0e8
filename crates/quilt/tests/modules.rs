//! Files beside a blueprint: read, imported and required, as Node has it, and never one outside its directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use quilt::eval::{Evaluation, Options, evaluate};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn evaluate(&self, name: &str) -> Evaluation {
        evaluate(&self.path(name), &Options::default())
            .unwrap_or_else(|faults| panic!("{faults}: {:#?}", faults.faults))
    }

    fn refused(&self, name: &str) -> String {
        let faults = evaluate(&self.path(name), &Options::default()).unwrap_err();
        faults.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn files_beside_the_blueprint_are_read_and_recorded() {
    let folder = Folder::new(&[
        ("main.js", "import { Container } from 'weft'; import { name } from './lib/name.js'; import old, { word } from './old';
            import data from './data.json';
            new Container(name, { command: [word, old.word, data.words[0]] });"),
        ("lib/name.js", "export { name } from '../name.mjs';"),
        ("name.mjs", "export const name = 'deep';"),
        ("old.js", "const fs = require('fs'); const path = require('path');
            exports.word = fs.readFileSync(path.join(__dirname, 'words.txt'), 'utf8').trim();"),
        ("words.txt", "hello\n"),
        ("data.json", "{\"words\": [\"json\"]}"),
    ]);
    let evaluation = folder.evaluate("main.js");
    assert_eq!(evaluation.blueprint.containers[0].name, "deep");
    assert_eq!(evaluation.blueprint.containers[0].command, ["hello", "hello", "json"]);
    let mut inputs: Vec<String> = evaluation
        .inputs
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    inputs.sort();
    assert_eq!(inputs, ["data.json", "main.js", "name.js", "name.mjs", "old.js", "words.txt"]);
}

#[test]
fn errors_in_imported_files_name_them() {
    let folder = Folder::new(&[
        ("main.js", "import './lib/part.js';"),
        ("lib/part.js", "import { Container } from 'weft';\n\nnew Container('web');\n"),
        ("broken.js", "import './lib/broken.js';"),
        ("lib/broken.js", "\nlet x = ;\n"),
        ("json.js", "import './bad.json';"),
        ("bad.json", "{\n  \"a\": 1,\n}"),
        ("missing.js", "\nimport './nowhere.js';"),
        ("common.js", "const x = require('./thrower');"),
        ("thrower.js", "exports.x = 1;\n  throw new Error('no');"),
    ]);
    let evaluation = folder.evaluate("main.js");
    let faults = quilt::checked(evaluation, &|_| true).unwrap_err();
    assert!(faults.to_string().ends_with("lib/part.js:3:1: container 'web' has no command"), "{faults}");
    assert_eq!(
        folder.refused("broken.js"),
        "lib/broken.js:2:1: syntax error: unexpected token in expression: ';'"
    );
    assert_eq!(
        folder.refused("json.js"),
        "bad.json:3:1: syntax error: key must be a string at line 3 column 1"
    );
    assert_eq!(
        folder.refused("missing.js"),
        "missing.js:2:8: cannot import './nowhere.js': there is no such file"
    );
    assert_eq!(folder.refused("common.js"), "thrower.js:2:3: no");
}

#[test]
fn requires_may_go_in_circles() {
    let folder = Folder::new(&[
        (
            "a.js",
            "exports.a = 1; const b = require('./b'); const { Container } = require('weft');
            new Container('c', { command: [String(b.seen), String(b.b)] });",
        ),
        ("b.js", "exports.seen = require('./a').a; exports.b = 2;"),
    ]);
    assert_eq!(folder.evaluate("a.js").blueprint.containers[0].command, ["1", "2"]);
}

#[test]
fn packages_are_found_in_node_modules_above_the_file() {
    let folder = Folder::new(&[
        ("lib/deep/main.js", "const { Container } = require('weft'); const { name } = require('outer'); const { inner } = require('@a/inner/part');
            new Container(name, { command: [inner, require('weft').args === undefined ? 'no' : 'own'] });"),
        ("node_modules/outer/package.json", "{ \"main\": \"./lib\" }"),
        ("node_modules/outer/lib/index.js", "exports.name = require('nested').name;"),
        ("node_modules/outer/node_modules/nested/index.js", "exports.name = 'nested';"),
        ("node_modules/nested/index.js", "exports.name = 'wrong';"),
        ("lib/node_modules/@a/inner/part.js", "exports.inner = 'inner';"),
        ("node_modules/weft/index.js", "throw new Error('our own modules come first');"),
        ("module.js", "import { Container } from 'weft'; import mapped from 'mapped'; import { other } from 'mapped/other'; import fs, { existsSync } from 'node:fs'; import { join } from 'path';
            new Container('c', { command: [mapped, other, String(existsSync(join('lib', 'deep'))), fs.readFileSync('t.txt', 'utf8')] });"),
        ("node_modules/mapped/package.json", "{ \"exports\": { \".\": { \"require\": \"./r.js\", \"import\": \"./i.mjs\" }, \"./other\": \"./o.js\" } }"),
        ("node_modules/mapped/i.mjs", "export default 'imported';"),
        ("node_modules/mapped/o.js", "exports.other = 'required';"),
        ("t.txt", "text"),
    ]);
    let wide = Options { root: Some(folder.path("")), ..Options::default() };
    let container = |evaluation: Evaluation| evaluation.blueprint.containers[0].clone();
    let deep = container(evaluate(&folder.path("lib/deep/main.js"), &wide).unwrap());
    assert_eq!(
        (deep.name.as_str(), deep.command.as_slice()),
        ("nested", &["inner".to_owned(), "own".to_owned()][..])
    );
    assert_eq!(container(folder.evaluate("module.js")).command, ["imported", "required", "true", "text"]);
    // Its own directory has no packages, and what is above it may not be read.
    assert_eq!(
        folder.refused("lib/deep/main.js"),
        "lib/deep/main.js:1:65: cannot import 'outer': there is no package 'outer' in a node_modules folder here"
    );
}

#[test]
fn what_cannot_be_required_says_why() {
    let folder = Folder::new(&[
        ("net.js", "require('http');"),
        ("node.js", "require('node:child_process');"),
        ("none.js", "require('left-pad');"),
        ("closed.js", "require('closed/secret');"),
        ("node_modules/closed/package.json", "{ \"exports\": \"./index.js\" }"),
        ("node_modules/closed/index.js", ""),
        ("empty.js", "require('empty');"),
        ("node_modules/empty/readme.md", ""),
        ("broken.js", "require('broken');"),
        ("node_modules/broken/package.json", "{"),
        ("leaves.js", "require('leaves');"),
        ("node_modules/leaves/package.json", "{ \"exports\": \"./../../net.js\" }"),
        ("nothing.js", "require();"),
        ("random.js", "\nrequire('crypto').randomBytes(8);"),
        ("md5.js", "require('crypto').createHash('md5');"),
        ("write.js", "require('fs').writeFileSync('x', 'y');"),
        ("later.js", "require('fs').readFile('x', () => {});"),
        ("directory.js", "require('fs').readFileSync('node_modules');"),
        ("exit.js", "process.exit(1);"),
    ]);
    let cases = [
        (
            "net.js",
            "net.js:1:9: cannot import 'http': it reaches out of the blueprint, which has no network, no processes and no terminal",
        ),
        (
            "node.js",
            "node.js:1:9: cannot import 'node:child_process': it reaches out of the blueprint, which has no network, no processes and no terminal",
        ),
        (
            "none.js",
            "none.js:1:9: cannot import 'left-pad': there is no package 'left-pad' in a node_modules folder here",
        ),
        (
            "closed.js",
            "closed.js:1:9: cannot import 'closed/secret': package 'closed' does not export './secret'",
        ),
        ("empty.js", "empty.js:1:9: cannot import 'empty': package 'empty' has no file to start from"),
        (
            "broken.js",
            "broken.js:1:9: cannot import 'broken': node_modules/broken/package.json: EOF while parsing an object at line 1 column 1",
        ),
        (
            "leaves.js",
            "leaves.js:1:9: cannot import 'leaves': package 'leaves' exports './../../net.js', which is outside of it",
        ),
        ("nothing.js", "nothing.js:1:1: require() needs the name of a module"),
        (
            "random.js",
            "random.js:2:1: crypto.randomBytes() is not available: a blueprint is the same every time, use `new Secret(name)`",
        ),
        ("md5.js", "md5.js:1:1: there is no hash 'md5': use sha1, sha224, sha256, sha384, sha512"),
        (
            "write.js",
            "write.js:1:1: fs.writeFileSync() is not available: a blueprint reads files and writes none",
        ),
        (
            "later.js",
            "later.js:1:1: fs.readFile() is not available: a blueprint waits for nothing, use fs.readFileSync()",
        ),
        ("directory.js", "directory.js:1:1: cannot read 'node_modules': it is a directory"),
        ("exit.js", "exit.js:1:1: process.exit() is not available: let the script end, or throw an error"),
    ];
    for (file, expected) in cases {
        assert_eq!(folder.refused(file), expected);
    }
}

#[test]
fn nothing_outside_the_directory_is_seen() {
    let folder = Folder::new(&[
        ("secret.js", "throw new Error('read');"),
        ("secret.txt", "secret"),
        ("node_modules/outside/index.js", "throw new Error('read');"),
        ("in/up.js", "require('../secret');"),
        ("in/up_module.js", "import '../secret.js';"),
        ("in/link.js", "require('./linked');"),
        ("in/folder.js", "require('./there/secret.js');"),
        ("in/package.js", "require('linked-package');"),
        ("in/above.js", "require('outside');"),
        ("in/absolute.js", "require('/etc/passwd');"),
        ("in/read.js", "require('fs').readFileSync(__dirname + '/../secret.txt');"),
        ("in/read_link.js", "require('fs').readFileSync('linked.txt');"),
        ("in/list.js", "require('fs').readdirSync('there');"),
        ("in/ask.js", "const fs = require('fs'); const { Container } = require('weft');
            const seen = ['../secret.txt', 'linked.txt', 'there', '/etc/passwd', '/blueprint/../secret.txt'].filter((path) => fs.existsSync(path));
            new Container('c', { command: ['seen', ...seen] });"),
    ]);
    symlink(folder.path("secret.js"), folder.path("in/linked.js")).unwrap();
    symlink(folder.path("secret.txt"), folder.path("in/linked.txt")).unwrap();
    symlink(folder.path(""), folder.path("in/there")).unwrap();
    fs::create_dir(folder.path("in/node_modules")).unwrap();
    symlink(folder.path("node_modules/outside"), folder.path("in/node_modules/linked-package")).unwrap();
    for (file, what) in [
        ("in/up.js", "'../secret' is outside the blueprint's directory"),
        ("in/up_module.js", "'../secret.js' is outside the blueprint's directory"),
        ("in/link.js", "'linked.js' is outside the blueprint's directory"),
        ("in/folder.js", "is outside the blueprint's directory"),
        ("in/package.js", "is outside the blueprint's directory"),
        ("in/above.js", "there is no package 'outside'"),
        ("in/absolute.js", "'/etc/passwd' is outside the blueprint's directory"),
        ("in/read.js", "/../secret.txt' is outside the blueprint's directory"),
        ("in/read_link.js", "'linked.txt' is outside the blueprint's directory"),
        ("in/list.js", "'there' is outside the blueprint's directory"),
    ] {
        let fault = folder.refused(file);
        assert!(fault.contains(what), "{file}: {fault}");
    }
    assert_eq!(folder.evaluate("in/ask.js").blueprint.containers[0].command, ["seen"]);
}

#[test]
fn what_failed_to_load_is_tried_again() {
    let folder = Folder::new(&[
        ("main.js", "const { Container } = require('weft'); const tries = [];
            for (let i = 0; i < 2; i += 1) { try { require('./fails'); } catch (error) { tries.push(error.message); } }
            new Container('c', { command: ['x', ...tries, String(global.count)] });"),
        ("fails.js", "exports.x = 1; global.count = (global.count || 0) + 1; throw new Error(`try ${global.count}`);"),
        ("missing.js", "let code; try { require('fs').readFileSync('none'); } catch (error) { code = error.code; }
            const { Container } = require('weft'); new Container('c', { command: [code] });"),
    ]);
    assert_eq!(folder.evaluate("main.js").blueprint.containers[0].command, ["x", "try 1", "try 2", "2"]);
    assert_eq!(folder.evaluate("missing.js").blueprint.containers[0].command, ["ENOENT"]);
}

#[test]
fn a_circle_of_modules_ends() {
    let folder = Folder::new(&[
        (
            "a.js",
            "exports.early = 1; exports.b = require('./b').name; exports.late = 2;
            require('weft'); new (require('weft').Container)('c', { command: [exports.b] });",
        ),
        ("b.js", "const a = require('./a'); exports.name = `early ${a.early} late ${a.late}`;"),
        ("loop.js", "require('./loop2');"),
        ("loop2.js", "module.exports = require('./loop').missing.name;"),
    ]);
    assert_eq!(folder.evaluate("a.js").blueprint.containers[0].command, ["early 1 late undefined"]);
    let fault = folder.refused("loop.js");
    assert!(fault.starts_with("loop2.js:1:") && fault.contains("TypeError"), "{fault}");
}

#[test]
fn arguments_and_environment_are_what_was_given() {
    let folder = Folder::new(&[(
        "main.js",
        "const { Container } = require('weft'); new Container('c', { command: [...process.argv, JSON.stringify(process.env), process.cwd(), __filename] });",
    )]);
    let options = Options {
        argv: vec!["-x".into(), "two words".into()],
        env: [("SIZE".to_owned(), "m3".to_owned())].into(),
        ..Options::default()
    };
    let evaluation = evaluate(&folder.path("main.js"), &options).unwrap();
    assert_eq!(
        evaluation.blueprint.containers[0].command,
        [
            "node",
            "/blueprint/main.js",
            "-x",
            "two words",
            "{\"SIZE\":\"m3\"}",
            "/blueprint",
            "/blueprint/main.js"
        ]
    );
}

#[test]
fn bytes_are_those_of_the_file() {
    let folder = Folder::new(&[(
        "main.js",
        "const fs = require('fs'); const { Container } = require('weft'); const data = fs.readFileSync('data');
        new Container('c', { command: [data.toString('hex'), data.toString('base64'), String(data.length), data.toString(), JSON.stringify(data),
          Buffer.from('ff00', 'hex').toString('base64'), Buffer.from('é😀').toString('hex'), Buffer.concat([data, data]).toString('latin1').length + ''] });",
    )]);
    fs::write(folder.path("data"), [0xff, 0x00, b'a', 0xe2, 0x82]).unwrap();
    assert_eq!(
        folder.evaluate("main.js").blueprint.containers[0].command,
        [
            "ff0061e282",
            "/wBh4oI=",
            "5",
            "\u{fffd}\0a\u{fffd}",
            "{\"type\":\"Buffer\",\"data\":[255,0,97,226,130]}",
            "/wA=",
            "c3a9f09f9880",
            "10"
        ]
    );
}
