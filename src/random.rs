//! Randomness that nobody can guess.

/// Bytes of the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator answers once the process runs");
    bytes
}
