//! A strict walk over DER (X.690), for the places where a lenient parser would skip over what it does not understand.
//!
//! `x509-parser` drops an unreadable relative name at the end of a subject; here it is an error.

/// The tags this crate looks at, as their identifier octet.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[0]`, primitive.
    pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
    /// `[3]`, constructed.
    pub(crate) const CONTEXT_3: u8 = 0xa3;
    /// `[4]`, primitive.
    pub(crate) const CONTEXT_4: u8 = 0x84;
    /// `[6]`, primitive.
    pub(crate) const CONTEXT_6: u8 = 0x86;
}

/// The bytes are not DER, or not of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the expected DER")]
pub struct NotDer;

/// One tag-length-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// The whole element, header included.
    pub(crate) raw: &'a [u8],
    pub(crate) content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The content, if the tag is the wanted one.
    pub(crate) fn expect(self, tag: u8) -> Result<&'a [u8], NotDer> {
        if self.tag == tag { Ok(self.content) } else { Err(NotDer) }
    }
}

/// The elements that lie one after the other in `der`, up to its last byte.
pub(crate) fn elements(der: &[u8]) -> impl Iterator<Item = Result<Element<'_>, NotDer>> {
    let mut rest = der;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let element = read(&mut rest);
        if element.is_none() {
            rest = &[];
        }
        Some(element.ok_or(NotDer))
    })
}

/// The content of the one element of `der`, which has the given tag and nothing behind it.
pub(crate) fn sole(der: &[u8], tag: u8) -> Result<&[u8], NotDer> {
    let mut rest = der;
    let element = read(&mut rest).ok_or(NotDer)?;
    if rest.is_empty() { element.expect(tag) } else { Err(NotDer) }
}

/// One element around these parts, which lie in it one after the other.
pub(crate) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let digits: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    let mut element = vec![tag];
    match digits.as_slice() {
        [] => element.push(0),
        [short @ 0..=0x7f] => element.push(*short),
        // A length has at most eight digits.
        long => element.extend([0x80 | u8::try_from(long.len()).unwrap_or(0x7f)].iter().chain(long)),
    }
    element.extend(content);
    element
}

/// Takes one element off the front. Definite, minimal lengths of up to four bytes and low tag numbers only.
fn read<'a>(rest: &mut &'a [u8]) -> Option<Element<'a>> {
    let whole = *rest;
    let (&[tag, first], after) = whole.split_first_chunk::<2>()?;
    let is_high_tag = tag & 0x1f == 0x1f;
    if is_high_tag {
        return None;
    }
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x84 => read_long_length(usize::from(first & 0x7f), after)?,
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    let (raw, _) = whole.split_at_checked(whole.len().checked_sub(after.len())?)?;
    *rest = after;
    Some(Element { tag, raw, content })
}

fn read_long_length(bytes: usize, der: &[u8]) -> Option<(usize, &[u8])> {
    let (digits, after) = der.split_at_checked(bytes)?;
    let length = digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit));
    let is_minimal = length > 0x7f && digits.first() != Some(&0);
    is_minimal.then_some((length, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_der_and_nothing_else() {
        let long = [vec![0x04, 0x81, 0x80], vec![7; 0x80]].concat();
        for (der, wanted) in [
            (&[0x02, 0x01, 0x05][..], Ok(3)),
            (&[0x30, 0x00], Ok(2)),
            (&long, Ok(0x83)),
            (&[], Err(NotDer)),
            (&[0x02], Err(NotDer)),
            (&[0x02, 0x02, 0x05], Err(NotDer)),
            (&[0x02, 0x81, 0x01, 0x05], Err(NotDer)),
            (&[0x30, 0x80, 0x00, 0x00], Err(NotDer)),
            (&[0x1f, 0x81, 0x01, 0x00], Err(NotDer)),
            (&[0x04, 0x85, 0, 0, 0, 0, 1, 0], Err(NotDer)),
        ] {
            let read = elements(der).next().unwrap_or(Err(NotDer)).map(|element| element.raw.len());
            assert_eq!(read, wanted, "{der:02x?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_whatever_its_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let content = vec![7; length];
            let (half, rest) = content.split_at(length / 2);
            assert_eq!(sole(&write(tag::SEQUENCE, &[half, rest]), tag::SEQUENCE), Ok(content.as_slice()));
        }
    }

    #[test]
    fn what_lies_behind_the_sole_element_is_an_error() {
        assert_eq!(sole(&[0x02, 0x01, 0x05], tag::INTEGER), Ok(&[5][..]));
        assert_eq!(sole(&[0x02, 0x01, 0x05, 0x00], tag::INTEGER), Err(NotDer));
        assert_eq!(sole(&[0x04, 0x01, 0x05], tag::INTEGER), Err(NotDer));
    }

    #[test]
    fn the_walk_ends_after_its_first_error() {
        assert_eq!(elements(&[0x02, 0x01, 0x05, 0x02, 0x09]).count(), 2);
    }
}
