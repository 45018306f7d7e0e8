//! The pair of proxies, with curl at one end and a web server at the other.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rc3::Key;
use rc3::connection::Config;
use rc3::live::{Allow, Egress, EgressConfig, Proxy, ProxyConfig};
use rc3::socks::Protocol;
use sim::Time;

use super::stage::{Namespace, Running, Stage, pattern, wait_until, web};

const KEY: Key = Key::new([21; 32]);

fn egress(far: &Namespace, listen: &str, key: Key, allow: &[&str]) -> Running {
    let allow: Vec<Allow> = allow.iter().map(|rule| rule.parse().unwrap()).collect();
    far.within(|| {
        let config =
            EgressConfig { listen: listen.parse().unwrap(), key, connection: Config::default(), allow };
        let mut egress = Egress::bind(config).unwrap();
        Running::new(egress.local().unwrap(), egress.stopper(), move || egress.run().unwrap())
    })
}

fn proxy(near: &Namespace, protocol: Protocol, egress: &str, key: Key) -> Running {
    near.within(|| {
        let listen = "127.0.0.1:0".parse().unwrap();
        let connection = Config { patience: Time::from_secs(3), ..Config::default() };
        let config = ProxyConfig { protocol, listen, egress: egress.to_owned(), key, connection };
        let mut proxy = Proxy::bind(config).unwrap();
        Running::new(proxy.local().unwrap(), proxy.stopper(), move || proxy.run().unwrap())
    })
}

/// A pair, and a web server on port 80 of the far side.
fn pair() -> (Stage, Running, Running) {
    let stage = Stage::new();
    for address in ["10.77.0.2:80", "127.0.0.1:80", "[2001:db8:77::2]:80"] {
        web(stage.far.within(|| TcpListener::bind(address).unwrap()));
    }
    let far = egress(&stage.far, "[::]:7700", KEY, &[]);
    let near = proxy(&stage.near, Protocol::Socks5, "10.77.0.2:7700", KEY);
    (stage, near, far)
}

#[test]
fn curl_benefits_unmodified() {
    let (stage, near, _far) = pair();
    let by = format!("socks5h://{}", near.local);
    for url in ["http://10.77.0.2/300000", "http://localhost/300000", "http://[2001:db8:77::2]/300000"] {
        let output = stage.near.curl(&["-x", &by, url]);
        assert!(output.status.success() && output.stdout == pattern(300_000), "{url}: {:?}", output.stderr);
    }
    // Up: curl sends 3 MB, the server says how much it was.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("up");
    std::fs::write(&file, pattern(3_000_000)).unwrap();
    let output = stage.near.curl(&["-x", &by, "-T", file.to_str().unwrap(), "http://10.77.0.2/up"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3000000 bytes", "{output:?}");
    // What does not answer or exist is an error of curl's, and so is half an answer.
    let code = |url: &str| stage.near.curl(&["-x", &by, url]).status.code().unwrap();
    assert_eq!(
        [code("http://10.77.0.2:81/"), code("http://nowhere.invalid/")],
        [97, 97],
        "refused by the proxy"
    );
    assert_eq!(code("http://10.77.0.2/part/500000"), 18, "a part");
}

#[test]
fn http_connect_and_the_rules_of_the_egress() {
    let stage = Stage::new();
    web(stage.far.within(|| TcpListener::bind("10.77.0.2:80").unwrap()));
    web(stage.far.within(|| TcpListener::bind("10.77.0.2:81").unwrap()));
    let _far = egress(&stage.far, "[2001:db8:77::2]:7700", KEY, &["10.77.0.0/24:80"]);
    let near = proxy(&stage.near, Protocol::Http, "[2001:db8:77::2]:7700", KEY);
    let by = format!("http://{}", near.local);
    let ask = |url: &str| {
        stage.near.curl(&["-p", "-x", &by, "-o", "/dev/null", "-w", "%{http_connect} %{http_code}", url])
    };
    assert_eq!(ask("http://10.77.0.2:80/9").stdout, b"200 200");
    assert_eq!(ask("http://10.77.0.2:81/9").stdout, b"403 000");
    assert_eq!(ask("http://localhost:80/9").stdout, b"403 000");
}

#[test]
fn a_hundred_at_once() {
    let (stage, near, _far) = pair();
    let local = near.local;
    let expected = Arc::new(pattern(60_000));
    let workers: Vec<_> = (0..100)
        .map(|_| {
            let (expected, mut stream) =
                (expected.clone(), stage.near.within(|| socks(local, [10, 77, 0, 2], 80)));
            std::thread::spawn(move || {
                stream.write_all(b"GET /60000 HTTP/1.0\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert!(answer.ends_with(&expected), "{} bytes", answer.len());
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// A connection by way of the proxy.
fn socks(proxy: SocketAddr, to: [u8; 4], port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream.write_all(&[5, 1, 0]).unwrap();
    let mut reply = [0; 10];
    stream.read_exact(&mut reply[..2]).unwrap();
    stream.write_all(&[&[5, 1, 0, 1][..], &to, &port.to_be_bytes()].concat()).unwrap();
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..2], [5, 0], "granted");
    stream
}

#[test]
fn each_way_has_its_end_and_who_does_not_read_is_not_read_from() {
    let (stage, near, _far) = pair();
    let listener = stage.far.within(|| TcpListener::bind("10.77.0.2:90").unwrap());
    let mut client = stage.near.within(|| socks(near.local, [10, 77, 0, 2], 90));
    let (mut server, _) = listener.accept().unwrap();
    // The client's end comes through while the server's way stays open.
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));

    // Nobody reads at the far side: what the client can write is bounded by the buffers on the way.
    let mut client = stage.near.within(|| socks(near.local, [10, 77, 0, 2], 90));
    let (mut server, _) = listener.accept().unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let (count, bytes) = (written.clone(), pattern(64 << 20));
    let writer = std::thread::spawn(move || {
        for piece in bytes.chunks(65_536) {
            client.write_all(piece).unwrap();
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    let (mut last, mut since) = (0, Instant::now());
    wait_until("it comes to a stop", || {
        let now = written.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        now > 0 && since.elapsed() > Duration::from_secs(1)
    });
    assert!(last < 40 << 20, "{last} bytes went in of which none was read");
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(all == pattern(64 << 20), "{} bytes", all.len());
}

#[test]
fn a_peer_that_goes_away_is_noticed_and_comes_back() {
    let (stage, near, far) = pair();
    let by = format!("socks5h://{}", near.local);
    let ask = || stage.near.curl(&["-x", &by, "http://10.77.0.2/1000"]);
    assert!(ask().status.success());
    // An egress that ends says so; then nobody is there, and the answer is an error, not silence.
    let mut open = stage.near.within(|| socks(near.local, [10, 77, 0, 2], 80));
    drop(far);
    let began = Instant::now();
    assert!(open.read(&mut [0]).is_err(), "reset: it does not look like an end");
    assert!(!ask().status.success());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let _far = egress(&stage.far, "10.77.0.2:7700", KEY, &[]);
    wait_until("the new one is found", || ask().status.success());
}

#[test]
fn another_key_gets_nothing() {
    let stage = Stage::new();
    let _far = egress(&stage.far, "10.77.0.2:7700", KEY, &[]);
    let near = proxy(&stage.near, Protocol::Socks5, "10.77.0.2:7700", Key::new([22; 32]));
    let output = stage.near.curl(&["-x", &format!("socks5h://{}", near.local), "http://10.77.0.2/"]);
    assert_eq!(output.status.code(), Some(97), "{output:?}");
}

#[test]
fn a_hostile_path_loses_time_and_nothing_else() {
    let stage = Stage::new();
    web(stage.far.within(|| TcpListener::bind("10.77.0.2:80").unwrap()));
    let _far = egress(&stage.far, "10.77.0.2:7700", KEY, &[]);
    let path = stage.near.within(|| Path::new("10.77.0.2:7700".parse().unwrap()));
    let near = proxy(&stage.near, Protocol::Socks5, &path.local.to_string(), KEY);
    for _ in 0..3 {
        let output =
            stage.near.curl(&["-x", &format!("socks5h://{}", near.local), "http://10.77.0.2/100000"]);
        assert!(output.status.success() && output.stdout == pattern(100_000), "{:?}", output.stderr);
    }
    assert!(path.spoilt.load(Ordering::Relaxed) > 10, "{:?} datagrams spoilt", path.spoilt);
}

/// A path on which each thirteenth datagram or so is lost, and others are changed, cut, doubled, late or joined by what nobody sent.
struct Path {
    local: SocketAddr,
    spoilt: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Path {
    fn new(to: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let far = UdpSocket::bind("0.0.0.0:0").unwrap();
        far.connect(to).unwrap();
        let local = near.local_addr().unwrap();
        let (spoilt, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let client = Arc::new(Mutex::new(None));
        for up in [true, false] {
            let (near, far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (spoilt, stop, client) = (spoilt.clone(), stop.clone(), client.clone());
            let from = if up { &near } else { &far };
            from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            std::thread::spawn(move || {
                let (mut bytes, mut count, mut late) = ([0; 2_000], 0_u64, None::<Vec<u8>>);
                while !stop.load(Ordering::Relaxed) {
                    let from = if up { &near } else { &far };
                    let Ok((length, sender)) = from.recv_from(&mut bytes) else { continue };
                    if up {
                        *client.lock().unwrap() = Some(sender);
                    }
                    count += 1;
                    let mut datagram = bytes[..length].to_vec();
                    let mut all: Vec<Vec<u8>> = late.take().into_iter().collect();
                    match count % 40 {
                        3 => datagram.clear(),
                        5 => datagram[length / 2] ^= 1,
                        7 => datagram.truncate(length / 2),
                        9 => all.push(datagram.clone()),
                        11 => late = Some(std::mem::take(&mut datagram)),
                        13 => all.push((0..200).map(|at| (at * count) as u8).collect()),
                        _ => {}
                    }
                    spoilt.fetch_add(
                        u64::from([3, 5, 7, 9, 11, 13].contains(&(count % 40))),
                        Ordering::Relaxed,
                    );
                    all.push(datagram);
                    for datagram in all.iter().filter(|datagram| !datagram.is_empty()) {
                        match *client.lock().unwrap() {
                            Some(client) if !up => drop(near.send_to(datagram, client)),
                            _ if up => drop(far.send(datagram)),
                            _ => {}
                        }
                    }
                }
            });
        }
        Self { local, spoilt, stop }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
