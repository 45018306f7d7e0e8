//! Well-known image names and the host programs that stand in for them.
//!
//! weft pulls nothing: a container runs on a copy-on-write view of the host's own root. A blueprint that names
//! `nginx:1.25` therefore runs the `nginx` the host has installed, with the command the official image runs.

/// One stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Last part of the image name, without registry and tag.
    pub image: &'static str,
    /// What the image runs when the blueprint gives no command; empty for bare systems.
    pub command: &'static [&'static str],
}

/// The table, sorted by name.
pub const ALIASES: &[Alias] = &[
    Alias { image: "alpine", command: &[] },
    Alias { image: "busybox", command: &[] },
    Alias { image: "curl", command: &["curl"] },
    Alias { image: "debian", command: &[] },
    Alias { image: "etcd", command: &["etcd"] },
    Alias { image: "haproxy", command: &["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"] },
    Alias { image: "httpd", command: &["apache2", "-DFOREGROUND"] },
    Alias { image: "mariadb", command: &["mariadbd"] },
    Alias { image: "memcached", command: &["memcached", "-u", "root"] },
    Alias { image: "mongo", command: &["mongod", "--bind_ip_all"] },
    Alias { image: "mysql", command: &["mysqld"] },
    Alias { image: "nginx", command: &["nginx", "-g", "daemon off;"] },
    Alias { image: "node", command: &["node"] },
    Alias { image: "python", command: &["python3"] },
    Alias { image: "redis", command: &["redis-server", "--bind", "*", "--protected-mode", "no"] },
    Alias { image: "ubuntu", command: &[] },
];

/// The stand-in for `image`, which may carry a registry, a tag and a digest.
///
/// ```
/// assert_eq!(quilt::images::alias("docker.io/library/nginx:1.25").unwrap().command[0], "nginx");
/// assert_eq!(quilt::images::alias("acme/billing"), None);
/// ```
pub fn alias(image: &str) -> Option<&'static Alias> {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(['@', ':']).next().unwrap_or(last);
    ALIASES.binary_search_by(|alias| alias.image.cmp(name)).ok().map(|at| &ALIASES[at])
}

/// What a container of `image` runs: the blueprint's command, with the image's own program in front where the
/// command only has options (as an image's entry point would have it), or the image's own.
pub fn command(image: &str, given: Vec<String>) -> Vec<String> {
    let own = alias(image).map_or(&[][..], |alias| alias.command);
    match given.first() {
        None => own.iter().map(|word| (*word).to_owned()).collect(),
        Some(first) if first.starts_with('-') && !own.is_empty() => {
            std::iter::once(own[0].to_owned()).chain(given).collect()
        }
        Some(_) => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_for_the_search() {
        assert!(ALIASES.windows(2).all(|pair| pair[0].image < pair[1].image));
    }

    #[test]
    fn commands_follow_the_images_entry_point() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(command("nginx:1", vec![]), words(&["nginx", "-g", "daemon off;"]));
        assert_eq!(command("redis", words(&["--port", "7"])), words(&["redis-server", "--port", "7"]));
        assert_eq!(command("redis", words(&["sleep", "7"])), words(&["sleep", "7"]));
        assert_eq!(command("unknown", words(&["-x"])), words(&["-x"]));
        assert_eq!(command("unknown", vec![]), Vec::<String>::new());
    }
}
