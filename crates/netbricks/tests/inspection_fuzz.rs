//! Random and spoiled frames through every function that looks into packets: none panics, and no buffer is lost.

use netbricks::functions::{Kind, Setup};
use netbricks::{Args, Context};
use packet::fuzzing::bounded::{self, Random};
use packet::{Batch, Pool, PoolConfig};

/// A TCP segment to the service that `maglev` balances.
const FRAME: &[u8] =
    b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\x45\0\0\x30\0\x07\0\0\x40\x06\0\0\x0a\0\0\x01\xc0\0\x02\x0a\
    \x30\x39\0\x50\0\0\0\x01\0\0\0\x01\x50\x10\x01\0\0\0\0\0evilpack";

#[test]
fn no_frame_upsets_a_function() {
    let seed = bounded::seed(Some(7));
    println!("seed {seed}");
    let functions: [(&str, &[&str]); 6] = [
        ("delay", &["by=5us", "jitter=3us", "reorder=on"]),
        ("dump", &["rate=0", "file=/dev/null"]),
        ("maglev", &["vip=192.0.2.10:80/tcp", "backend=10.0.0.1:8080", "flows=8"]),
        ("monitor", &["flows=8"]),
        ("payload", &["file=/dev/null"]),
        ("signature", &[r#"rule=drop "x" content "evil""#, r#"rule=alert "y" regex "a+b$""#, "memory=1"]),
    ];
    for (name, words) in functions {
        let pool = Pool::new(PoolConfig { buffers: 2048, ..PoolConfig::default() }).unwrap();
        let setup = Setup { pool: pool.clone(), key: 1, seed };
        let mut args = Args::parse(name, words).unwrap();
        let mut function = Kind::find(name).unwrap().build(&mut args, &setup).unwrap();
        let (mut ctx, mut random) = (Context::new(2), Random(seed));
        for now_ns in 0..20_000 {
            let mut frame = FRAME.to_vec();
            for _ in 0..random.below(5) {
                let at = random.below(frame.len());
                frame[at] = random.next() as u8;
            }
            if random.one_in(8) {
                frame.truncate(random.below(FRAME.len() + 1));
            }
            let mut batch = Batch::new();
            batch.push(pool.packet(&frame).unwrap()).unwrap();
            ctx.set_now_ns(now_ns);
            function.process(random.below(2) as u16, &mut batch, &mut ctx);
            if function.deadline_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                function.expire(&mut ctx);
            }
            (0..2).for_each(|gate| ctx.drain(gate, Batch::clear));
        }
        function.finish(&mut ctx);
        (0..2).for_each(|gate| ctx.drain(gate, Batch::clear));
        assert_eq!(pool.available(), pool.capacity(), "{name}");
        assert!(ctx.sent() > 1000, "{name}: {} packets passed", ctx.sent());
    }
}
