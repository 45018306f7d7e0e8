//! Identifiers of machines and containers: the SHA-1 of what they are, and of which one it is of those that are the
//! same.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

/// The identifier of each thing, given what it is (as text) and the number its object was made with.
///
/// Of things that are the same in all but their number, the one with the lowest has rank 0. The same object met twice
/// has one rank.
pub(super) fn ids<'a>(things: impl Iterator<Item = (&'a str, f64)> + Clone) -> Vec<String> {
    let mut numbers: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (what, number) in things.clone() {
        numbers.entry(what).or_default().push(number);
    }
    for numbers in numbers.values_mut() {
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
    }
    things
        .map(|(what, number)| {
            let rank = numbers[what].binary_search_by(|other| other.total_cmp(&number)).unwrap_or_default();
            hexadecimal(&Sha1::digest(format!("{what}{rank}")))
        })
        .collect()
}

/// Bytes as lower-case hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::ids;

    #[test]
    fn ranks_go_by_number_and_not_by_text() {
        let two = ids([("x", 10.0), ("x", 9.0), ("x", 10.0), ("y", 1.0)].into_iter());
        assert_eq!(two[0], two[2]);
        // printf x1 | sha1sum; printf x0 | sha1sum; printf y0 | sha1sum
        assert_eq!(two[0], "16d4afa270ff905221b8edc8c851e6275a3f7da4");
        assert_eq!(two[1], "2c7c1a727ad282aaae5b102dd7e4e463fae22dd5");
        assert_eq!(two[3], "d4db7398146d4854ec2077b65359b7ec10a26379");
    }
}
