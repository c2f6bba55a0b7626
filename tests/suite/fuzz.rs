//! A few seconds of fuzzing; the program `fuzz` does it for longer.

use std::time::Duration;

use cache_suite::Rng;
use cache_suite::fuzzing::TARGETS;

#[test]
fn p10_no_bytes_from_outside_panic() {
    let mut rng = Rng::from_env();
    for target in TARGETS {
        let inputs = target.fuzz(Duration::from_secs(2), &mut rng);
        assert!(inputs > 200, "{}: {inputs} inputs only", target.name);
    }
}
