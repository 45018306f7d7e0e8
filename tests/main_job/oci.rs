//! Images for the tests: made here, entry by entry, so that they can be wrong in any way.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

/// What Go calls this machine.
pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An archive in the making.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds an entry of any kind, under any name.
    pub(crate) fn add(
        mut self,
        kind: EntryType,
        name: &str,
        mode: u32,
        owner: u64,
        content: &[u8],
        link: &str,
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).expect("an entry");
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.add(EntryType::Regular, name, 0o644, 0, text.as_bytes(), "")
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, 0o777, 0, b"", target)
    }

    /// A small system: busybox as this machine has it, with the libraries that it needs.
    pub(crate) fn busybox(mut self) -> Self {
        for (path, bytes) in busybox() {
            self = self.add(EntryType::Regular, path.trim_start_matches('/'), 0o755, 0, &bytes, "");
        }
        for applet in [
            "sh", "cat", "ls", "id", "sleep", "echo", "env", "test", "pwd", "stat", "httpd", "true", "false",
            "touch", "rm", "mkdir", "nc",
        ] {
            self = self.link(&format!("bin/{applet}"), "busybox");
        }
        self.add(EntryType::Directory, "tmp", 0o1777, 0, b"", "")
            .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/srv:/bin/sh\n")
            .file("etc/group", "root:x:0:\nweb:x:1000:\n")
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("an archive")
    }
}

/// The program, under its name in an image, and its libraries.
pub(crate) fn busybox() -> Vec<(String, Vec<u8>)> {
    let program = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let program = program.expect("busybox, which tests/install.sh installs");
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    let mut files = vec![("/bin/busybox".to_owned(), fs::read(program).expect("busybox"))];
    files.extend(libraries.map(|path| (path.to_owned(), fs::read(path).expect("a library"))));
    files
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("to pack");
    encoder.finish().expect("to pack")
}

/// An OCI image layout in the making.
pub(crate) struct Image {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) config: Value,
    layers: Vec<(String, Vec<u8>)>,
    pub(crate) architecture: String,
}

impl Image {
    pub(crate) fn new(config: Value) -> Self {
        Self { files: Vec::new(), config, layers: Vec::new(), architecture: architecture().into() }
    }

    /// Adds a layer as it is.
    pub(crate) fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(("application/vnd.oci.image.layer.v1.tar".into(), layer.bytes()));
        self
    }

    /// Adds a layer, packed.
    pub(crate) fn packed(mut self, layer: Layer) -> Self {
        self.layers.push(("application/vnd.oci.image.layer.v1.tar+gzip".into(), layer.bytes()));
        self
    }

    fn blob(&mut self, bytes: Vec<u8>) -> (String, usize) {
        let digest = sha256(&bytes);
        let length = bytes.len();
        self.files.push((format!("blobs/sha256/{digest}"), bytes));
        (format!("sha256:{digest}"), length)
    }

    /// Writes its documents. They can be changed afterwards.
    pub(crate) fn finish(mut self) -> Self {
        let diffs: Vec<_> =
            self.layers.iter().map(|(_, bytes)| format!("sha256:{}", sha256(bytes))).collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diffs},
        });
        let mut layers = Vec::new();
        for (media, bytes) in std::mem::take(&mut self.layers) {
            let bytes = if media.ends_with("gzip") { gzip(&bytes) } else { bytes };
            let (digest, size) = self.blob(bytes);
            layers.push(json!({"mediaType": media, "digest": digest, "size": size}));
        }
        let (digest, size) = self.blob(config.to_string().into_bytes());
        let config =
            json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size});
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let (digest, size) = self.blob(manifest.to_string().into_bytes());
        let media = "application/vnd.oci.image.manifest.v1+json";
        let index =
            json!({"schemaVersion": 2, "manifests": [{"mediaType": media, "digest": digest, "size": size}]});
        self.files.push(("oci-layout".into(), b"{\"imageLayoutVersion\": \"1.0.0\"}".to_vec()));
        self.files.push(("index.json".into(), index.to_string().into_bytes()));
        self
    }

    /// As a directory.
    pub(crate) fn directory(&self, place: &Path) -> PathBuf {
        for (name, bytes) in &self.files {
            let path = place.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("to make it");
            fs::write(path, bytes).expect("to write it");
        }
        place.to_owned()
    }

    /// As an archive.
    pub(crate) fn archive(&self, path: &Path) {
        let files = self.files.iter();
        let layer = files.fold(Layer::new(), |layer, (name, bytes)| {
            layer.add(EntryType::Regular, name, 0o644, 0, bytes, "")
        });
        fs::write(path, layer.bytes()).expect("to write it");
    }

    /// As `docker save` does.
    pub(crate) fn saved(self, path: &Path, tag: &str) {
        let diffs: Vec<_> =
            self.layers.iter().map(|(_, bytes)| format!("sha256:{}", sha256(bytes))).collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diffs},
        })
        .to_string();
        let config_name = format!("{}.json", sha256(config.as_bytes()));
        let mut archive = Layer::new().file(&config_name, &config);
        let mut names = Vec::new();
        for (number, (_, bytes)) in self.layers.iter().enumerate() {
            let name = format!("{number}/layer.tar");
            archive = archive.add(EntryType::Regular, &name, 0o644, 0, bytes, "");
            names.push(name);
        }
        let manifest = json!([{"Config": config_name, "RepoTags": [tag], "Layers": names}]).to_string();
        fs::write(path, archive.file("manifest.json", &manifest).bytes()).expect("to write it");
    }
}
