//! A quarter of a minute of torture for each mode and kind of Redis. By hand, and for longer:
//! `cargo run --release -p cache-suite --bin torture -- --minutes 60 --mode strict --redis cluster`.

use std::process::Command;

fn torture(mode: &str, redis: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    command.args(["--seconds", "15", "--mode", mode, "--redis", redis]);
    let output = command.output().expect("the program");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    assert!(output.status.success() && last.contains("lost=0 stale=0 failed=0"), "{mode}, {redis}: {last}");
}

#[test]
fn p1_and_p8_hold_under_torture() {
    let _alone = crate::TURN.blocking_lock();
    for mode in ["bounded", "strict"] {
        for redis in ["single", "cluster"] {
            torture(mode, redis);
        }
    }
}
