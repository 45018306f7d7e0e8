//! What a text shows of whom a program talks to.

/// A host that a text names, and the port if that is said too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) port: Option<u16>,
}

/// Ports of URLs, by their scheme.
const SCHEMES: [(&str, u16); 21] = [
    ("amqp", 5672),
    ("amqps", 5671),
    ("http", 80),
    ("https", 443),
    ("kafka", 9092),
    ("ldap", 389),
    ("mariadb", 3306),
    ("memcached", 11211),
    ("mongodb", 27017),
    ("mqtt", 1883),
    ("mysql", 3306),
    ("mysql2", 3306),
    ("nats", 4222),
    ("postgis", 5432),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("rediss", 6379),
    ("smtp", 25),
    ("ws", 80),
    ("wss", 443),
];

/// Ports that the programs of well-known images listen on.
const IMAGES: [(&str, &[u16]); 28] = [
    ("caddy", &[80, 443]),
    ("cassandra", &[9042]),
    ("clickhouse-server", &[8123, 9000]),
    ("consul", &[8500]),
    ("elasticsearch", &[9200]),
    ("etcd", &[2379]),
    ("grafana", &[3000]),
    ("haproxy", &[80]),
    ("httpd", &[80]),
    ("influxdb", &[8086]),
    ("kafka", &[9092]),
    ("kibana", &[5601]),
    ("mariadb", &[3306]),
    ("memcached", &[11211]),
    ("minio", &[9000]),
    ("mongo", &[27017]),
    ("mosquitto", &[1883]),
    ("mysql", &[3306]),
    ("nats", &[4222]),
    ("nginx", &[80]),
    ("postgres", &[5432]),
    ("prometheus", &[9090]),
    ("rabbitmq", &[5672]),
    ("redis", &[6379]),
    ("registry", &[5000]),
    ("valkey", &[6379]),
    ("vault", &[8200]),
    ("zookeeper", &[2181]),
];

/// Ports that the program of an image is known to listen on.
pub(super) fn image_ports(image: &str) -> &'static [u16] {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(['@', ':']).next().unwrap_or(last);
    IMAGES.iter().find(|(known, _)| *known == name).map_or(&[], |(_, ports)| ports)
}

/// Where `text` names `host` as a host: with a port, in a URL, after an `@`, or as all of a text (`is_value`).
///
/// `suffixes` are what may follow the name without making it another one, such as `.shop.svc`.
pub(super) fn mentions(text: &str, host: &str, suffixes: &[String], is_value: bool) -> Vec<Mention> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    for (at, _) in text.match_indices(host) {
        let before = &text[..at];
        let mut after = &text[at + host.len()..];
        if before.ends_with(is_name) {
            continue;
        }
        if let Some(rest) = suffixes.iter().filter_map(|suffix| after.strip_prefix(suffix.as_str())).next() {
            after = rest;
        }
        if after.starts_with(is_name) || after.starts_with("://") {
            continue;
        }
        let port = after.strip_prefix(':').and_then(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..digits].parse().ok().filter(|port| *port != 0)
        });
        if port.is_some() {
            found.push(Mention { port });
        } else if let Some(scheme) = scheme(before) {
            let port = SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, port)| *port);
            found.push(Mention { port });
        } else if is_value && text.split([',', ' ', ';']).any(|word| word == host) {
            found.push(Mention { port: None });
        }
    }
    found
}

/// The scheme of the URL whose host comes next: `postgres` of `x=postgres://user:word@`.
fn scheme(before: &str) -> Option<&str> {
    let start = before.rfind("://")?;
    let between = &before[start + 3..];
    let is_userinfo =
        between.is_empty() || between.ends_with('@') && !between.contains(['/', ' ', '"', '\'']);
    // Several hosts in one URL: mongodb://a:1,b:2/x.
    let is_list = between.ends_with(',') && !between.contains(['/', ' ', '"', '\'']);
    if !is_userinfo && !is_list {
        return None;
    }
    let head = &before[..start];
    let from = head.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '+')).map_or(0, |at| at + 1);
    let scheme = &head[from..];
    Some(scheme.split('+').next().unwrap_or(scheme))
}

/// Whether the name of a variable says that its value is a host, and the name of the one that would have its port.
pub(super) fn host_variable(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let words = ["HOSTNAME", "HOSTS", "HOST", "ADDRESS", "ADDR", "SERVERS", "SERVER", "ENDPOINT", "SERVICE"];
    let word = words.into_iter().find(|word| upper.ends_with(word))?;
    Some(format!("{}PORT", &name[..name.len() - word.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str, host: &str) -> Vec<Option<u16>> {
        mentions(text, host, &[".shop.svc".into()], true).into_iter().map(|mention| mention.port).collect()
    }

    #[test]
    fn hosts_are_seen_in_urls_lists_and_alone() {
        assert_eq!(ports("postgres://u:p@db/x", "db"), [Some(5432)]);
        assert_eq!(ports("postgresql+psycopg://db:6000/db", "db"), [Some(6000)]);
        assert_eq!(ports("redis://redis", "redis"), [Some(6379)]);
        assert_eq!(ports("kafka-1:9092,kafka-2:9093", "kafka-2"), [Some(9093)]);
        assert_eq!(ports("mongodb://a:1,b/x", "b"), [Some(27017)]);
        assert_eq!(ports("db", "db"), [None]);
        assert_eq!(ports("http://db.shop.svc/x", "db"), [Some(80)]);
        assert_eq!(ports("gopher://db", "db"), [None]);
    }

    #[test]
    fn words_that_are_no_hosts_are_not() {
        for text in ["adb:1", "db.example.com:1", "db-2:1", "my-db:1", "the db is", "db://x", "/var/lib/db"] {
            let found = mentions(text, "db", &[], false);
            assert_eq!(found, [], "{text}");
        }
    }

    #[test]
    fn variables_of_hosts_have_a_variable_of_the_port() {
        assert_eq!(host_variable("DB_HOST").as_deref(), Some("DB_PORT"));
        assert_eq!(host_variable("redisAddr").as_deref(), Some("redisPORT"));
        assert_eq!(host_variable("MODE"), None);
    }
}
