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
    /// The program that it needs on this host, and the Debian package that has it; empty where Debian has none.
    pub needs: Option<(&'static str, &'static str)>,
    /// Whom it runs as; root without.
    pub user: Option<&'static str>,
}

const fn system(image: &'static str) -> Alias {
    Alias { image, command: &[], needs: None, user: None }
}

const fn program(image: &'static str, command: &'static [&'static str], package: &'static str) -> Alias {
    Alias { image, command, needs: Some((command[0], package)), user: None }
}

const fn shell(
    image: &'static str,
    command: &'static [&'static str],
    program: &'static str,
    package: &'static str,
    user: Option<&'static str>,
) -> Alias {
    Alias { image, command, needs: Some((program, package)), user }
}

/// What the official image of PostgreSQL does on its first start, with the programs where Debian has them.
const POSTGRES: &[&str] = &[
    "sh",
    "-c",
    "data=${PGDATA:-/var/lib/postgresql/data}; bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1); \
     [ -n \"$bin\" ] || { echo 'postgres: not installed' >&2; exit 127; }; \
     [ -s \"$data/PG_VERSION\" ] || \"$bin/initdb\" -D \"$data\" -U \"${POSTGRES_USER:-postgres}\" -A trust || exit; \
     grep -q '^host all all all' \"$data/pg_hba.conf\" || echo 'host all all all trust' >> \"$data/pg_hba.conf\"; \
     exec \"$bin/postgres\" -D \"$data\" -c listen_addresses='*' -c unix_socket_directories=/tmp",
];

/// What the official images of MariaDB and MySQL do at their start: root may connect from elsewhere, with the password that
/// the environment gives, and there is a database of the name that it gives.
const MARIADB: &[&str] = &[
    "sh",
    "-c",
    r#"word=$(printf %s "${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}" | sed "s/['\\\\]/\\\\&/g")
base=$(printf %s "${MARIADB_DATABASE:-$MYSQL_DATABASE}" | tr -d '`')
{
  printf '%s\n' "CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$word';"
  printf '%s\n' "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
  [ -z "$base" ] || printf '%s\n' "CREATE DATABASE IF NOT EXISTS \`$base\`;"
} > /tmp/init.sql
exec mariadbd --user=root --bind-address='*' --socket=/tmp/mysqld.sock --init-file=/tmp/init.sql"#,
];

/// Where Debian keeps the programs of PostgreSQL, by version; they are in nobody's `PATH`.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The table, sorted by name.
pub const ALIASES: &[Alias] = &[
    system("alpine"),
    system("busybox"),
    program("cassandra", &["cassandra", "-f"], ""),
    system("centos"),
    program("consul", &["consul", "agent", "-dev", "-client", "0.0.0.0"], ""),
    program("curl", &["curl"], "curl"),
    system("debian"),
    program("django", &["python3"], "python3-django"),
    program("elasticsearch", &["elasticsearch", "-E", "network.host=0.0.0.0"], ""),
    program("etcd", &["etcd"], "etcd-server"),
    system("fedora"),
    program("golang", &["go"], "golang-go"),
    program("haproxy", &["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"], "haproxy"),
    program("httpd", &["apache2", "-DFOREGROUND"], "apache2"),
    program("influxdb", &["influxd"], "influxdb"),
    program("kafka", &["kafka-server-start.sh", "/opt/kafka/config/server.properties"], ""),
    program("kibana", &["kibana"], ""),
    program("logstash", &["logstash"], ""),
    shell("mariadb", MARIADB, "mariadbd", "mariadb-server", None),
    program("memcached", &["memcached", "-u", "root", "-l", "0.0.0.0,::"], "memcached"),
    program("mongo", &["mongod", "--bind_ip_all"], ""),
    shell("mysql", MARIADB, "mariadbd", "mariadb-server", None),
    program("nginx", &["nginx", "-g", "daemon off;"], "nginx-light"),
    program("node", &["node"], "nodejs"),
    program("php", &["php", "-a"], "php-cli"),
    shell("postgres", POSTGRES, "postgres", "postgresql", Some("postgres")),
    program("prometheus", &["prometheus"], "prometheus"),
    program("python", &["python3"], "python3"),
    program("rabbitmq", &["rabbitmq-server"], "rabbitmq-server"),
    program("redis", &["redis-server", "--bind", "*", "--protected-mode", "no"], "redis-server"),
    program("ruby", &["irb"], "ruby"),
    program("spark", &["spark-class"], ""),
    system("ubuntu"),
    program("wordpress", &["apache2", "-DFOREGROUND"], "wordpress"),
    Alias {
        image: "zookeeper",
        command: &["/usr/share/zookeeper/bin/zkServer.sh", "start-foreground"],
        needs: Some(("zkServer.sh", "zookeeper")),
        user: None,
    },
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

/// What to do when the program that stands in for `image` is not there.
///
/// ```
/// let advice = quilt::images::advice("memcached:1.6").unwrap();
/// assert_eq!(advice, "image 'memcached:1.6' stands for the program memcached of this host: apt-get install memcached");
/// ```
pub fn advice(image: &str) -> Option<String> {
    let (program, package) = alias(image)?.needs?;
    let how = match package {
        "" => "Debian has no package of it".to_owned(),
        package => format!("apt-get install {package}"),
    };
    Some(format!("image '{image}' stands for the program {program} of this host: {how}"))
}

/// What to do when a container of `image` runs the image's own script, and the program behind it is not installed.
pub(crate) fn lacking(image: &str, given: &[String]) -> Option<String> {
    let alias = alias(image)?;
    let (program, _) = alias.needs?;
    let own = alias.command.first() == Some(&"sh")
        && given.iter().map(String::as_str).eq(alias.command.iter().copied());
    let there = || {
        let versions = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
        let versions = versions.map(|entry| entry.path().join("bin").to_string_lossy().into_owned());
        let mut places = host::DEFAULT_PATH.split(':').map(str::to_owned).chain(versions);
        places.any(|place| std::path::Path::new(&place).join(program).is_file())
    };
    if own && !there() { advice(image) } else { None }
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

    #[test]
    fn what_debian_lacks_is_said() {
        assert!(advice("mongo:3.4").unwrap().ends_with("Debian has no package of it"));
        assert_eq!((advice("alpine"), advice("acme/billing")), (None, None));
    }
}
