//! The shop in the words of Quilt and of Kelda.

use super::{COULD_NOT_CONNECT, example, fetch};
use crate::harness::{Weft, Who, curl, eventually, free_port};

#[test]
fn the_shop_in_the_words_of_quilt_as_root() {
    shop(Who::Root, "dialects/quilt.js", "8082", ["web-1", "web-2", "web-3"], "db-1");
}

#[test]
fn the_shop_in_the_words_of_kelda_as_an_ordinary_user() {
    shop(Who::User, "dialects/kelda.js", "8083", ["web", "web2", "web"], "db");
}

fn shop(who: Who, name: &str, old_port: &str, webs: [&str; 3], db: &str) {
    let weft = Weft::new(who);
    let port = free_port();
    weft.ok(&["up", &example(&weft, name, Some((old_port, port)))]);
    let url = format!("http://localhost:{port}/");
    for web in webs {
        let begins = format!("hello from {web}, visit ");
        let came = eventually(|| curl(&url).is_ok_and(|page| page.starts_with(&begins)));
        assert!(came, "{web}: {:?} {}", curl(&url), weft.ok(&["logs"]));
    }
    let back = fetch(&weft, db, &format!("http://{}:{port}/", webs[0]));
    assert_eq!(back.0, Some(COULD_NOT_CONNECT), "{back:?}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}
