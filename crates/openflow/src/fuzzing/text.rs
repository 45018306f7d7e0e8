//! Text: any text is parsed or refused, and what a message is written as reads back.

use crate::Version;
use crate::message::{Body, Message};
use crate::{codec, text};

/// Any text through every parser. What is parsed is written, and reads back the same.
///
/// # Panics
/// It does not.
pub fn text(data: &[u8]) {
    let input = String::from_utf8_lossy(data);
    let at = |wrong: &text::ParseError| {
        assert!(input.is_char_boundary(wrong.at.start) && input.is_char_boundary(wrong.at.end), "{wrong:?}");
        assert!(wrong.at.start <= wrong.at.end && wrong.at.end <= input.len(), "{wrong:?}");
        assert!(!wrong.to_string().is_empty() && !wrong.help.is_empty(), "{wrong:?}");
    };
    match text::parse_message(&input) {
        Ok((version, message)) => round(version, &message),
        Err(wrong) => at(&wrong),
    }
    match text::parse_flow(&input) {
        Ok(flow) => {
            let written = flow.to_string();
            let again = text::parse_flow(&written);
            assert_eq!(again.map(|again| again.to_string()).as_ref(), Ok(&written), "{input}");
        }
        Err(wrong) => at(&wrong),
    }
    match text::parse_match(&input) {
        Ok(matching) => {
            let written = matching.to_string();
            assert_eq!(text::parse_match(&written), Ok(matching), "{input}");
        }
        Err(wrong) => at(&wrong),
    }
    match text::parse_group(&input) {
        Ok(group) => assert_eq!(text::parse_group(&group.to_string()), Ok(group), "{input}"),
        Err(wrong) => at(&wrong),
    }
    match text::parse_meter(&input) {
        Ok(meter) => assert_eq!(text::parse_meter(&meter.to_string()), Ok(meter), "{input}"),
        Err(wrong) => at(&wrong),
    }
    let _ = (text::parse_actions(&input).map_err(|wrong| at(&wrong)), text::parse_flow_stats(&input));
}

/// A message's text is read, and written again to the same text; what was read from a text is in it whole.
///
/// # Panics
/// It is not.
pub fn round(version: Version, message: &Message) {
    let written = message.text(version).to_string();
    let (read_version, read) =
        text::parse_message(&written).unwrap_or_else(|wrong| panic!("{wrong:?}\n{written}\n{message:?}"));
    assert_eq!((read_version, read.xid), (version, message.xid), "{written}");
    let again = read.text(version).to_string();
    assert_eq!(again, written, "{message:?}\n{read:?}");
    assert_eq!(text::parse_message(&again), Ok((version, read)), "{again}");
    assert!(!message.to_string().is_empty());
}

/// A random message's text, as [`round`] has it; and what a decoded message says.
///
/// # Panics
/// It does not hold.
pub fn generated_text(data: &[u8]) {
    let seed = data.iter().fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(*byte));
    let mut random = packet::fuzzing::bounded::Random(seed);
    for version in Version::ALL {
        round(version, &super::Generator::new(&mut random, version).message());
    }
}

/// The text of a message that decodes.
///
/// # Panics
/// It does not hold.
pub fn decoded_text(data: &[u8]) {
    let Ok((version, message)) = codec::decode(data) else { return };
    round(version, &message);
    if let Body::FlowMod(flow) = &message.body {
        let written = flow.to_string();
        assert!(!written.is_empty());
    }
}
