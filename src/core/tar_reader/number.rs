//! Numbers of tar headers: octal text, GNU base-256, and the decimal text of PAX records.

use crate::core::path::escape;

/// A numeric field of a header block: octal digits among spaces and NULs, nothing at all for
/// zero, or, when the first bit is set, a big-endian two's complement number in the other bits.
pub(super) fn field(bytes: &[u8]) -> Result<i64, String> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base_256(bytes),
        _ => octal(bytes),
    }
}

fn octal(bytes: &[u8]) -> Result<i64, String> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = bytes.iter().position(|byte| !is_padding(byte));
    let digits = super::header::until_nul(&bytes[start.unwrap_or(bytes.len())..]).trim_ascii_end();
    // fields have 12 bytes at most, so 36 bits
    digits
        .iter()
        .try_fold(0, |number: i64, &digit| match digit {
            b'0'..=b'7' => Some(number << 3 | i64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(|| format!("expected octal digits, found `{}`", escape(digits)))
}

fn base_256(bytes: &[u8]) -> Result<i64, String> {
    let negative = bytes[0] & 0x40 != 0;
    let first = if negative {
        bytes[0] | 0x80
    } else {
        bytes[0] & 0x7f
    };
    let mut number = i128::from(first.cast_signed());
    for &byte in &bytes[1..] {
        number = number << 8 | i128::from(byte);
    }
    i64::try_from(number).map_err(|_| "the number is beyond 63 bits".to_owned())
}

/// A whole decimal number with an optional sign, as in a PAX record.
pub(super) fn decimal(text: &[u8]) -> Result<i64, String> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| all_digits)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            let shown = &text[..text.len().min(40)];
            format!(
                "expected a decimal number within 63 bits, found `{}`",
                escape(shown)
            )
        })
}

/// The time of a PAX record, seconds with an optional fraction, rounded down to whole seconds.
pub(super) fn time(text: &[u8]) -> Result<i64, String> {
    let dot = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let seconds = decimal(whole)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(format!(
            "expected digits after the point, found `{}`",
            escape(&fraction[..fraction.len().min(40)])
        ));
    }
    let has_fraction = fraction.iter().any(|&digit| digit != b'0');
    Ok(if whole.starts_with(b"-") && has_fraction {
        seconds.saturating_sub(1)
    } else {
        seconds
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_octal_or_base_256() {
        let mut big = [0; 12];
        big[0] = 0x80;
        big[7] = 1;
        let mut too_big = [0; 12];
        too_big[0] = 0x80;
        too_big[1] = 1;
        for (bytes, expected) in [
            (&b"0000644\0"[..], Ok(0o644)),
            (b"   644 \0", Ok(0o644)),
            (b"644\0junk", Ok(0o644)),
            (b"77777777", Ok(0o7777_7777)),
            (b"\0\0\0\0\0\0\0\0", Ok(0)),
            (b"        ", Ok(0)),
            (&[0xff; 8], Ok(-1)),
            (&[0xff, 0xff, 0xff, 0xfe], Ok(-2)),
            (&big, Ok(1 << 32)),
            (&too_big, Err("the number is beyond 63 bits")),
            (b"0000648\0", Err("expected octal digits, found `0000648`")),
            (b"-000644\0", Err("expected octal digits, found `-000644`")),
        ] {
            assert_eq!(field(bytes), expected.map_err(str::to_owned), "{bytes:?}");
        }
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("1700000000.999999999", Ok(1_700_000_000)),
            ("12.", Ok(12)),
            ("-1.5", Ok(-2)),
            ("-1.000", Ok(-1)),
            ("-0.5", Ok(-1)),
            (
                "+1",
                Err("expected a decimal number within 63 bits, found `+1`"),
            ),
            (
                ".5",
                Err("expected a decimal number within 63 bits, found ``"),
            ),
            ("1.5s", Err("expected digits after the point, found `5s`")),
            (
                "9223372036854775808",
                Err("expected a decimal number within 63 bits, found `9223372036854775808`"),
            ),
        ] {
            let found = time(text.as_bytes());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }
}
