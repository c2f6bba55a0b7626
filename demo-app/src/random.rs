//! Random bytes, of which session ids are made.

/// So many of them.
pub(crate) fn number<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without the system's random numbers nothing is safe.
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// 32 hexadecimal digits that nobody guesses.
pub(crate) fn id() -> String {
    number::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}
