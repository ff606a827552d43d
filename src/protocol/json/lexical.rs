//! One pass over a JSON text for what the parser does not check: how deep it nests, and whether its escapes are text.
//!
//! On a text that is no JSON the verdict means nothing; a parser must see the text as well.

use std::slice::Iter;

use serde::de::IgnoredAny;

/// What makes a grammatical JSON text unfit to be passed on: some receivers would fail on the whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum LexicalFault {
    TooDeep,
    /// An escape of half a surrogate pair is no Unicode text (RFC 7493, section 2.1).
    LoneSurrogate,
}

/// Whether `bytes` are exactly one JSON text in UTF-8 (RFC 8259), fit to be passed on.
pub(in crate::protocol) fn is_json_text(bytes: &[u8], max_depth: usize) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    check(text, max_depth).is_ok() && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Checks nesting and escapes of a JSON text.
pub(in crate::protocol) fn check(text: &str, max_depth: usize) -> Result<(), LexicalFault> {
    if is_harmless(text.as_bytes(), max_depth) {
        return Ok(());
    }
    let mut depth = 0_usize;
    let mut bytes = text.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes)?,
            b'[' | b'{' if depth == max_depth => return Err(LexicalFault::TooDeep),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a text has too few brackets to nest too deep, and no escape at all. Most are such, and to count is several
/// times as fast as to follow the text.
fn is_harmless(text: &[u8], max_depth: usize) -> bool {
    let (mut opening, mut escaped) = (0, false);
    // The count of a block fits a byte, so that the compiler can take many bytes at once.
    for block in text.chunks(64) {
        let mut here = 0_u8;
        for byte in block {
            here += u8::from(matches!(byte, b'[' | b'{'));
            escaped |= *byte == b'\\';
        }
        opening += usize::from(here);
    }
    opening <= max_depth && !escaped
}

fn skip_string(bytes: &mut Iter<'_, u8>) -> Result<(), LexicalFault> {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return Ok(()),
            b'\\' => skip_escape(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

fn skip_escape(bytes: &mut Iter<'_, u8>) -> Result<(), LexicalFault> {
    if bytes.next() != Some(&b'u') {
        return Ok(());
    }
    match code_unit(bytes) {
        Some(0xD800..=0xDBFF) => low_surrogate(bytes).ok_or(LexicalFault::LoneSurrogate),
        Some(0xDC00..=0xDFFF) => Err(LexicalFault::LoneSurrogate),
        _ => Ok(()),
    }
}

fn low_surrogate(bytes: &mut Iter<'_, u8>) -> Option<()> {
    let escaped = bytes.next() == Some(&b'\\') && bytes.next() == Some(&b'u');
    let unit = escaped.then(|| code_unit(bytes))??;
    matches!(unit, 0xDC00..=0xDFFF).then_some(())
}

fn code_unit(bytes: &mut Iter<'_, u8>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | char::from(*bytes.next()?).to_digit(16)?;
    }
    Some(unit)
}
