//! Users and groups as /etc/passwd and /etc/group of the present root have them.

use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A user a command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its home directory; `/` where /etc/passwd does not say.
    pub home: PathBuf,
}

/// Most supplementary groups taken from /etc/group.
const GROUPS_MAX: usize = 256;

/// Finds `name`, `uid` or `uid:gid` (also `name:group`) in the files of the present root; `None` is root.
///
/// # Errors
/// Nobody has that name.
pub fn find(wanted: Option<&str>) -> Result<User> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    find_in(wanted.unwrap_or("0"), &passwd, &group)
}

fn find_in(wanted: &str, passwd: &str, group: &str) -> Result<User> {
    let unknown = || Error::UnknownUser(wanted.into());
    let (user, wanted_group) =
        wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
    let line = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == user || (fields[2] == user && user.parse::<u32>().is_ok()))
    });
    let number = |field: &str| field.parse::<u32>().ok();
    let uid = line.as_ref().map_or_else(|| number(user), |fields| number(fields[2])).ok_or_else(unknown)?;
    let gid = match wanted_group {
        Some(wanted) => group_id(wanted, group).ok_or_else(unknown)?,
        None => line.as_ref().map_or(Some(0), |fields| number(fields[3])).ok_or_else(unknown)?,
    };
    let name = line.as_ref().map(|fields| fields[0]);
    let home = line.as_ref().map_or("/", |fields| fields[5]).into();
    let groups = match (name, wanted_group) {
        (Some(name), None) => supplementary(name, group),
        _ => Vec::new(),
    };
    Ok(User { uid, gid, groups, home })
}

/// The name of a user of the host.
pub(crate) fn name_of(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn group_id(wanted: &str, group: &str) -> Option<u32> {
    wanted.parse().ok().or_else(|| {
        group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok())?
        })
    })
}

fn supplementary(name: &str, group: &str) -> Vec<u32> {
    let member = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else { return None };
        members.split(',').any(|member| member == name).then(|| gid.parse().ok())?
    };
    group.lines().filter_map(member).take(GROUPS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/false\nbroken:x\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nssl:x:110:www,db\nadm:x:4:syslog\n";

    #[test]
    fn users_are_found_by_name_number_and_pair() {
        let www = User { uid: 33, gid: 33, groups: vec![110], home: "/var/www".into() };
        assert_eq!(find_in("www", PASSWD, GROUP).unwrap(), www);
        assert_eq!(find_in("33", PASSWD, GROUP).unwrap(), www);
        let pair = find_in("www:ssl", PASSWD, GROUP).unwrap();
        assert_eq!((pair.uid, pair.gid, pair.groups), (33, 110, vec![]));
        let stranger = find_in("1234:99", PASSWD, GROUP).unwrap();
        assert_eq!((stranger.uid, stranger.gid), (1234, 99));
        for bad in ["nobody-here", "", "www:no-such", "-1", ":", "broken"] {
            assert_eq!(find_in(bad, PASSWD, GROUP), Err(Error::UnknownUser(bad.into())));
        }
    }
}
