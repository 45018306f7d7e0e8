//! The conversations.

use super::Script;

const fn script(name: &'static str, text: &'static str) -> Script {
    Script { name, loose: true, liberal: false, text }
}

/// Each is a connection of its own.
pub const SCRIPTS: &[Script] = &[
    script(
        "a connection opens, carries data both ways and closes",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > P. seq 1001 ack 5001 len 100   = established ESTABLISHED
         < P. seq 5001 ack 1101 len 1000  = established ESTABLISHED
         > F. seq 1101 ack 6001           = established FIN_WAIT
         < .  seq 6001 ack 1102           = established CLOSE_WAIT
         < F. seq 6001 ack 1102           = established LAST_ACK
         > .  seq 1102 ack 6002           = established TIME_WAIT",
    ),
    script(
        "half-closed: the server sends on after the client's FIN",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > F. seq 1001 ack 5001           = established FIN_WAIT
         < .  seq 5001 ack 1002           = established CLOSE_WAIT
         < P. seq 5001 ack 1002 len 1400  = established CLOSE_WAIT
         > .  seq 1002 ack 6401           = established CLOSE_WAIT
         < F. seq 6401 ack 1002           = established LAST_ACK
         > .  seq 1002 ack 6402           = established TIME_WAIT",
    ),
    script(
        "simultaneous open",
        "> S  seq 1000                    = new SYN_SENT
         < S  seq 5000                    = established SYN_SENT2
         > S. seq 1000 ack 5001           = established SYN_RECV
         < S. seq 5000 ack 1001           = established SYN_RECV
         < .  seq 5001 ack 1001           = established ESTABLISHED
         > .  seq 1001 ack 5001           = established ESTABLISHED",
    ),
    script(
        "simultaneous close",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > F. seq 1001 ack 5001           = established FIN_WAIT
         < F. seq 5001 ack 1001           = established LAST_ACK
         > .  seq 1002 ack 5002           = established TIME_WAIT
         < .  seq 5002 ack 1002           = established TIME_WAIT",
    ),
    script(
        "refused: the flow is gone with the reset",
        "> S  seq 1000                    = new SYN_SENT
         < R. seq 0 ack 1001              = established -
         < R. seq 0 ack 1001              = invalid:NotOpening -
         > S  seq 2000                    = new SYN_SENT",
    ),
    script(
        "lost SYN and SYN/ACK come again",
        "> S  seq 1000                    = new SYN_SENT
         > S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         < S. seq 5000 ack 1001           = established SYN_RECV
         > S  seq 1000                    = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < S. seq 5000 ack 1001           = established ESTABLISHED",
    ),
    script(
        "the client tries again with another sequence number",
        "> S  seq 1000                    = new SYN_SENT
         > S  seq 900000                  = new SYN_SENT
         < S. seq 5000 ack 900001         = established SYN_RECV
         > .  seq 900001 ack 5001         = established ESTABLISHED",
    ),
    script(
        "a SYN/ACK that acknowledges more than was sent",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1002           = invalid:AckAbove SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV",
    ),
    // Whoever sends a SYN in the client's name must not shut the answer to the client's own out.
    script(
        "a stray SYN before the answer to the first",
        "> S  seq 1000                    = new SYN_SENT
         > S  seq 41000                   = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < P. seq 5001 ack 1001 len 100   = established ESTABLISHED",
    ),
    script(
        "a stray SYN far beyond: the answer to the first passes, and is not believed",
        "> S  seq 1000                    = new SYN_SENT
         > S  seq 900000                  = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_SENT
         < S. seq 5000 ack 900001         = established SYN_RECV",
    ),
    script(
        "a stray SYN far behind changes nothing, and its answer passes",
        "> S  seq 900000                  = new SYN_SENT
         > S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_SENT
         < S. seq 6000 ack 900001         = established SYN_RECV
         > .  seq 900001 ack 6001         = established ESTABLISHED",
    ),
    script(
        "SYN with data (fast open), all or none of it accepted",
        "> S  seq 1000 len 100            = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001 len 100   = established ESTABLISHED
         < .  seq 5001 ack 1101           = established ESTABLISHED",
    ),
    script(
        "what cannot open a connection",
        "> S. seq 1000 ack 1              = invalid:NotOpening -
         > F. seq 1000 ack 1              = invalid:NotOpening -
         > R  seq 1000                    = invalid:NotOpening -
         > R. seq 1000 ack 1              = invalid:NotOpening -",
    ),
    script(
        "flags that no connection has",
        "> 0   seq 1000                   = invalid:Flags -
         > F   seq 1000                   = invalid:Flags -
         > SF  seq 1000                   = invalid:Flags -
         > SR  seq 1000                   = invalid:Flags -
         > SF. seq 1000                   = invalid:Flags -
         > FR. seq 1000                   = invalid:Flags -
         > FPU seq 1000                   = invalid:Flags -
         > P   seq 1000                   = invalid:Flags -
         > SU  seq 1000                   = new SYN_SENT
         < SU. seq 5000 ack 1001          = invalid:Flags SYN_SENT
         < RU. seq 0 ack 1001             = invalid:Flags SYN_SENT",
    ),
    script(
        "nothing but SYN/ACK or a reset follows a SYN",
        "> S  seq 1000                    = new SYN_SENT
         > .  seq 1001 ack 1              = invalid:OutOfState SYN_SENT
         > F. seq 1001 ack 1              = invalid:OutOfState SYN_SENT
         > S. seq 1000 ack 1              = invalid:OutOfState SYN_SENT
         < F. seq 5000 ack 1001           = invalid:OutOfState SYN_SENT",
    ),
    script(
        "data beyond the window, and acknowledgements of what was not sent",
        "> S  seq 1000 win 1000           = new SYN_SENT
         < S. seq 5000 ack 1001 win 1000  = established SYN_RECV
         > .  seq 1001 ack 5001 win 1000  = established ESTABLISHED
         > .  seq 9000 ack 5001 len 10    = invalid:SequenceAbove ESTABLISHED
         > .  seq 1001 ack 5002           = invalid:AckAbove ESTABLISHED
         < .  seq 5001 ack 1002           = invalid:AckAbove ESTABLISHED
         < P. seq 5001 ack 1001 len 900   = established ESTABLISHED
         > .  seq 1001 ack 5901 win 1000  = established ESTABLISHED",
    ),
    script(
        "old data and old acknowledgements pass and change nothing",
        "> S  seq 1000 win 1000           = new SYN_SENT
         < S. seq 900000 ack 1001 win 1000 = established SYN_RECV
         > .  seq 1001 ack 900001 win 1000 = established ESTABLISHED
         > .  seq 4294960000 ack 900001 len 10 = established ESTABLISHED
         > .  seq 1001 ack 800000         = established ESTABLISHED
         > F. seq 4294960000 ack 900001   = established ESTABLISHED",
    ),
    script(
        "a little more than the window is forgiven",
        "> S  seq 1000 win 1000           = new SYN_SENT
         < S. seq 5000 ack 1001 win 1000  = established SYN_RECV
         > .  seq 1001 ack 5001 win 1000  = established ESTABLISHED
         > P. seq 1001 ack 5001 win 1000 len 1000 = established ESTABLISHED
         > P. seq 2001 ack 5001 win 1000 len 100  = established ESTABLISHED
         > P. seq 2101 ack 5001 win 1000 len 100  = established ESTABLISHED
         < .  seq 5001 ack 2201 win 1000  = established ESTABLISHED",
    ),
    script(
        "windows are scaled where both ends scale",
        "> S  seq 1000 win 1000 wscale 7  = new SYN_SENT
         < S. seq 5000 ack 1001 win 1000 wscale 2 = established SYN_RECV
         > .  seq 1001 ack 5001 win 1000  = established ESTABLISHED
         < P. seq 120000 ack 1001 win 1000 len 100 = established ESTABLISHED
         > P. seq 4900 ack 5001 win 1000 len 100 = established ESTABLISHED
         > P. seq 9100 ack 5001 win 1000 len 100 = invalid:SequenceAbove ESTABLISHED
         < P. seq 333000 ack 1001 len 100 = invalid:SequenceAbove ESTABLISHED",
    ),
    script(
        "windows are not scaled where only one end scales",
        "> S  seq 1000 win 1000 wscale 7  = new SYN_SENT
         < S. seq 5000 ack 1001 win 1000  = established SYN_RECV
         > .  seq 1001 ack 5001 win 1000  = established ESTABLISHED
         < P. seq 20000 ack 1001 win 1000 len 100 = invalid:SequenceAbove ESTABLISHED",
    ),
    script(
        "a scale of more than 14 is 14",
        "> S  seq 1000 win 1 wscale 255   = new SYN_SENT
         < S. seq 5000 ack 1001 win 1000 wscale 0 = established SYN_RECV
         > .  seq 1001 ack 5001 win 1     = established ESTABLISHED
         < P. seq 21300 ack 1001 win 1000 len 10 = established ESTABLISHED
         < P. seq 50000 ack 1001 win 1000 len 10 = invalid:SequenceAbove ESTABLISHED",
    ),
    script(
        "a closed window admits a probe of one byte",
        "> S  seq 1000 win 1000           = new SYN_SENT
         < S. seq 5000 ack 1001 win 0     = established SYN_RECV
         > .  seq 1001 ack 5001 win 1000  = established ESTABLISHED
         > .  seq 1001 ack 5001 win 1000 len 1 = established ESTABLISHED
         < .  seq 5001 ack 1001 win 0     = established ESTABLISHED
         > .  seq 1003 ack 5001 win 1000 len 1 = invalid:SequenceAbove ESTABLISHED",
    ),
    script(
        "selective acknowledgements count, where they were agreed on",
        "> S  seq 1000 sackOK             = new SYN_SENT
         < S. seq 5000 ack 1001 sackOK    = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > P. seq 2001 ack 5001 len 1000  = established ESTABLISHED
         < .  seq 5001 ack 1001 sack 2001:3001 = established ESTABLISHED
         < .  seq 5001 ack 1001 sack 2001:3002 = invalid:AckAbove ESTABLISHED",
    ),
    script(
        "without that agreement nobody looks at them",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < .  seq 5001 ack 1001 sack 2001:3002 = established ESTABLISHED",
    ),
    script(
        "sequence numbers go round",
        "> S  seq 4294967290              = new SYN_SENT
         < S. seq 4294967295 ack 4294967291 = established SYN_RECV
         > .  seq 4294967291 ack 0        = established ESTABLISHED
         > P. seq 4294967291 ack 0 len 100 = established ESTABLISHED
         < P. seq 0 ack 95 len 100        = established ESTABLISHED
         > .  seq 95 ack 101              = invalid:AckAbove ESTABLISHED
         > F. seq 95 ack 100              = established FIN_WAIT
         < F. seq 100 ack 96              = established LAST_ACK
         > .  seq 96 ack 101              = established TIME_WAIT",
    ),
    script(
        "a reset that is next in sequence closes",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < P. seq 5001 ack 1001 len 10    = established ESTABLISHED
         > .  seq 1001 ack 5011           = established ESTABLISHED
         < R. seq 5011 ack 1001           = established CLOSE
         < R. seq 5011 ack 1001           = established CLOSE",
    ),
    script(
        "a reset attack: before, beside and beyond the sequence (RFC 5961)",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < R  seq 4000                    = invalid:Reset ESTABLISHED
         < R  seq 5000                    = invalid:Reset ESTABLISHED
         < R  seq 6000                    = established ESTABLISHED
         < R  seq 900000                  = invalid:SequenceAbove ESTABLISHED
         > R  seq 900                     = invalid:Reset ESTABLISHED
         > P. seq 1001 ack 5001 len 10    = established ESTABLISHED
         < R  seq 5001                    = established CLOSE",
    ),
    script(
        "a reset behind the last data that was sent closes too",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < P. seq 5001 ack 1001 len 19    = established ESTABLISHED
         < R  seq 5020                    = established CLOSE",
    ),
    script(
        "a SYN attack on an open connection changes nothing",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > S  seq 700000                  = established ESTABLISHED
         < .  seq 5001 ack 1001           = established ESTABLISHED
         < S  seq 700000                  = invalid:OutOfState ESTABLISHED
         > S. seq 700000 ack 5001         = invalid:OutOfState ESTABLISHED
         > P. seq 1001 ack 5001 len 10    = established ESTABLISHED",
    ),
    script(
        "the client crashed and connects anew, and the server agrees",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > S  seq 700000 wscale 3 sackOK  = established ESTABLISHED
         < S. seq 90000 ack 700001        = established SYN_RECV
         > .  seq 700001 ack 90001        = established ESTABLISHED
         > .  seq 1001 ack 5001           = established ESTABLISHED",
    ),
    script(
        "the client crashed and connects anew; the server challenges, the client resets",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > S  seq 700000                  = established ESTABLISHED
         < .  seq 5001 ack 1001           = established ESTABLISHED
         > R  seq 1001                    = established CLOSE
         > S  seq 700000                  = new SYN_SENT
         < S. seq 90000 ack 700001        = established SYN_RECV",
    ),
    script(
        "half-open: the server answers a SYN with an ACK of its old connection and is reset",
        "> S  seq 1000                    = new SYN_SENT
         < .  seq 80000 ack 4000          = established SYN_SENT
         > R  seq 4000                    = established CLOSE
         > S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV",
    ),
    script(
        "a SYN that was let through is reset by who got it",
        "> S  seq 1000 win 1000           = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > S  seq 1000                    = established SYN_RECV
         > R  seq 900000 ack 1001         = invalid:SequenceAbove SYN_RECV
         < R  seq 900000 ack 1001         = established CLOSE",
    ),
    script(
        "an ACK that answers a SYN in LAST_ACK is a challenge, not the last",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         < F. seq 5001 ack 1001           = established FIN_WAIT
         > F. seq 1001 ack 5002           = established LAST_ACK
         > S  seq 700000                  = established LAST_ACK
         < .  seq 5002 ack 1001           = established LAST_ACK
         < .  seq 5002 ack 1002           = established TIME_WAIT",
    ),
    script(
        "TIME_WAIT is reused by the client",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > F. seq 1001 ack 5001           = established FIN_WAIT
         < F. seq 5001 ack 1002           = established LAST_ACK
         > .  seq 1002 ack 5002           = established TIME_WAIT
         > S  seq 80000                   = new SYN_SENT
         < S. seq 90000 ack 80001         = established SYN_RECV
         > .  seq 80001 ack 90001         = established ESTABLISHED",
    ),
    script(
        "TIME_WAIT is reused by the server, which becomes the client",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > F. seq 1001 ack 5001           = established FIN_WAIT
         < F. seq 5001 ack 1002           = established LAST_ACK
         > .  seq 1002 ack 5002           = established TIME_WAIT
         < S  seq 90000                   = new SYN_SENT
         > S. seq 80000 ack 90001         = established SYN_RECV
         < .  seq 90001 ack 80001         = established ESTABLISHED",
    ),
    script(
        "a reset connection is opened again by who reset it",
        "> S  seq 1000                    = new SYN_SENT
         < S. seq 5000 ack 1001           = established SYN_RECV
         > .  seq 1001 ack 5001           = established ESTABLISHED
         > R  seq 1001                    = established CLOSE
         > S  seq 80000                   = new SYN_SENT",
    ),
    script(
        "a connection whose beginning nobody saw is picked up",
        "> P. seq 1001 ack 5001 len 100   = new ESTABLISHED
         < .  seq 5001 ack 1101           = established ESTABLISHED
         < P. seq 900000 ack 1101 len 100 = established ESTABLISHED
         > .  seq 1101 ack 900100         = established ESTABLISHED
         > F. seq 1101 ack 900100         = established FIN_WAIT",
    ),
    Script {
        name: "a connection whose beginning nobody saw is not picked up",
        loose: false,
        liberal: false,
        text: "> P. seq 1001 ack 5001 len 100   = invalid:NotOpening -
               < .  seq 5001 ack 1101           = invalid:NotOpening -
               > S  seq 1000                    = new SYN_SENT",
    },
    Script {
        name: "liberal: what is outside the window passes, but old resets do not",
        loose: true,
        liberal: true,
        text: "> S  seq 1000 win 1000           = new SYN_SENT
               < S. seq 5000 ack 1001 win 1000  = established SYN_RECV
               > .  seq 1001 ack 5001 win 1000  = established ESTABLISHED
               > .  seq 90000 ack 5001 len 10   = established ESTABLISHED
               > .  seq 1001 ack 6000           = established ESTABLISHED
               < R  seq 4000                    = invalid:Reset ESTABLISHED",
    },
];
