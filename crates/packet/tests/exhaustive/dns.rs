//! Names, questions and records of DNS.

use packet::wire::*;

use super::strings;

/// A name's labels, joined by bars, and where the bytes behind it start; pointers lead backwards, at most 16 of them.
fn name(message: &[u8], at: usize, pointers: usize) -> Option<(Vec<u8>, usize)> {
    let length = usize::from(*message.get(at)?);
    match length {
        0 => Some((Vec::new(), at + 1)),
        1..64 => {
            let label = message.get(at + 1..at + 1 + length)?;
            let (rest, end) = name(message, at + 1 + length, pointers)?;
            Some(([label, b"|", &rest].concat(), end))
        }
        192.. => {
            let target = (length & 63) << 8 | usize::from(*message.get(at + 1)?);
            if target >= at || target < dns::HEADER_LEN || pointers == dns::POINTERS_MAX {
                return None;
            }
            let (rest, _) = name(message, target, pointers + 1)?;
            Some((rest, at + 2))
        }
        _ => None,
    }
}

#[test]
fn dns_names_and_questions() {
    let check = |tail: &[u8]| {
        let message = [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], tail].concat();
        let view = dns::View::new_checked(&message[..]).unwrap();
        let expected =
            name(&message, 12, 0).filter(|(name, end)| end + 4 <= message.len() && name.len() < 255);
        match view.questions().next().unwrap() {
            Ok(question) => {
                let labels: Vec<u8> =
                    question.name.labels().flat_map(|label| [label, b"|"].concat()).collect();
                assert_eq!(Some(labels), expected.map(|(name, _)| name), "{tail:?}");
                assert!(!question.name.to_string().is_empty());
            }
            Err(wrong) => assert_eq!(expected, None, "{tail:?}: {wrong}"),
        }
        assert!(!view.to_string().is_empty());
    };
    for length in 0..=6 {
        strings(&[0, 1, 2, 12, 13, 14, 63, 64, 128, 0xc0], length, |start| {
            check(start);
            check(&[start, &[0, 0, 1, 0, 1]].concat());
        });
    }
    for labels in 1..=5 {
        for (size, last) in (1..=63u8).flat_map(|size| (1..=63u8).map(move |last| (size, last))) {
            let label = |size: u8| [&[size][..], &vec![b'a'; usize::from(size)]].concat();
            check(&[label(size).repeat(labels - 1), label(last), vec![0, 0, 1, 0, 1]].concat());
        }
    }
}

#[test]
fn dns_pointer_chains() {
    for count in 0..=dns::POINTERS_MAX + 2 {
        // The chain, whose first pointer leads to the question's root, is the data of a first record; its last pointer is
        // the name of a second one.
        let header = [0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        let mut records =
            [&header[..11], &[2], &[0, 0, 1, 0, 1], &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 2 * count as u8]]
                .concat();
        let base = records.len() as u8;
        (0..count)
            .for_each(|at| records.extend([0xc0, if at == 0 { 12 } else { base + 2 * (at as u8 - 1) }]));
        records.extend([
            0xc0,
            if count == 0 { 12 } else { base + 2 * (count as u8 - 1) },
            0,
            1,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        let view = dns::View::new_checked(&records[..]).unwrap();
        let read = view.records().unwrap().flatten().count();
        assert_eq!(read, 1 + usize::from(count < dns::POINTERS_MAX), "{count}");
    }
}
