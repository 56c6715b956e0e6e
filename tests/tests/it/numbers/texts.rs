//! Texts that are numbers, nearly numbers, or sit exactly between two floats.

use cartograph_crdt::exact::Exact;
use cartograph_engine::number::LongDouble;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

/// Texts at the ends of what is read, and the odd forms.
pub(super) const EDGES: &[&[u8]] = &[
    b"0",
    b"-0",
    b"0.0",
    b"-0.0",
    b"+0",
    b"00",
    b"1.",
    b".5",
    b".",
    b"",
    b"+",
    b"-",
    b"e5",
    b"1e",
    b"1e+",
    b"5e-324",
    b"2e-324",
    b"2.4703282292062327e-324",
    b"2.4703282292062328e-324",
    b"1e-400",
    b"1e400",
    b"1.7976931348623157e308",
    b"1.7976931348623158e308",
    b"1.7976931348623159e308",
    b"1e4000",
    b"-1e4000",
    b"1e4932",
    b"1.18e4932",
    b"1.19e4932",
    b"1e4933",
    b"3.6e-4951",
    b"1.9e-4951",
    b"1.8e-4951",
    b"1e-4951",
    b"1e-4960",
    b"1e5000",
    b"1e-5000",
    b"1e99999999999999999999",
    b"0e99999999999999999999",
    b"1e-99999999999999999999",
    b"inf",
    b"-inf",
    b"+inf",
    b"INFINITY",
    b"infinit",
    b"infinityx",
    b"nan",
    b"-nan",
    b"nan(1)",
    b"0x10",
    b"0X1P4",
    b"0x",
    b"0x.",
    b"0x.8",
    b"0x1.",
    b"0xp1",
    b"0x1p",
    b"0x1p+",
    b"0x1.8p-1",
    b"-0x1p-16445",
    b"0x1p-16446",
    b"0x1.8p-16446",
    b"0x1.0000000000000000000001p-16446",
    b"0x1p-1074",
    b"0x1p-1075",
    b"0x1.00000000001p-1075",
    b"0x1.fffffffffffff7p1023",
    b"0x1.fffffffffffff8p1023",
    b"0x0.ffffffffffffffff7p16384",
    b"0x0.ffffffffffffffff8p16384",
    b"1e5",
    b"1E5",
    b"1d5",
    b"1p5",
    b"0b1",
    b"1_000",
    b"1,5",
    b" 1",
    b"1 ",
    b"\t1",
    b"1\n",
    b"1\0",
    b"\0",
    b"1\x002",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"9223372036854775807.5",
    b"18446744073709551615",
    b"18446744073709551616",
    b"999999999999999.125",
    b"999999999999999.375",
    b"1e17",
    b"1e16",
    b"123456789012345678",
    b"0.00001",
    b"0.0001",
    b"0.1",
    b"4503599627370497.5",
    b"9007199254740993",
    b"1.00000000000000011102230246251565404236316680908203125",
];

/// Sums with a history of surprises: (before, increment).
pub(super) const PAIRS: &[(&[u8], &[u8])] = &[
    (b"0.1", b"0.2"),
    (b"3.0e3", b"200"),
    (b"10.50", b"0.1"),
    (b"5.0e3", b"2.0e2"),
    (b"1e17", b"0.5"),
    (b"100000000000000000", b"0.5"),
    (b"9007199254740992", b"1"),
    (b"18446744073709551615", b"1"),
    (b"18446744073709551615", b"0.5"),
    (b"1", b"1e-17"),
    (b"1", b"5e-18"),
    (b"1", b"1.5e-17"),
    (b"1", b"1e-19"),
    (b"1", b"5.421010862427522170037264004349708557128906250e-20"),
    (b"1", b"5.421010862427522170037264004349708557128906251e-20"),
    (b"1", b"0.12345678901234567"),
    (b"1", b"0.123456789012345678"),
    (b"-1", b"1"),
    (b"-1e-30", b"0"),
    (b"-5e-18", b"0"),
    (b"5e-18", b"0"),
    (b"1e4932", b"-1"),
    (b"1.18e4932", b"1.18e4932"),
    (b"-1.18e4932", b"-1.18e4932"),
    (b"1.7976931348623157e308", b"1.7976931348623157e308"),
    (b"inf", b"-inf"),
    (b"-inf", b"-inf"),
    (b"inf", b"1"),
    (b"1", b"inf"),
    (b"abc", b"inf"),
    (b"abc", b"1"),
    (b"1", b"abc"),
    (b"5e-324", b"5e-324"),
    (b"1e308", b"-1e308"),
    (b"0x10", b"0x.8"),
];

fn digits(rng: &mut ChaCha8Rng, count: usize) -> String {
    (0..count)
        .map(|_| char::from(b'0' + rng.random_range(0..10_u8)))
        .collect()
}

fn sign(rng: &mut ChaCha8Rng) -> &'static str {
    ["", "", "", "-", "-", "+"].choose(rng).copied().unwrap_or("")
}

/// What carts and counters hold: prices, quantities, small fractions, some scientific notation.
pub(super) fn everyday(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let minus = if rng.random_bool(0.3) { "-" } else { "" };
    let whole = rng.random_range(0..1_000_000_u32);
    match rng.random_range(0..5) {
        0 => format!("{minus}{whole}"),
        1 => format!("{minus}{whole}.{}", digits(rng, 2)),
        2 => format!("{minus}0.{}", digits(rng, 19)),
        3 => format!(
            "{minus}{}e{}",
            rng.random_range(1..1000),
            rng.random_range(-25..13)
        ),
        _ => format!("{minus}{}", f64::from(whole) / 997.0),
    }
    .into_bytes()
}

fn double(rng: &mut ChaCha8Rng) -> f64 {
    let value = f64::from_bits(rng.random());
    if value.is_finite() { value } else { 1.0 / 3.0 }
}

/// The exact text of the middle between two doubles or long doubles, or a crumb beside it.
fn tie(rng: &mut ChaCha8Rng) -> String {
    let exponent = rng.random_range(-140..100_i32);
    let mantissa = if rng.random_bool(0.5) {
        rng.random::<u64>() >> 11
    } else {
        rng.random()
    };
    // One bit more than the mantissa has.
    let text = format!("0x{mantissa:x}.8p{exponent}");
    let exact = cartograph_engine::number::parse_number(text.as_bytes())
        .map_or_else(String::new, |value| value.to_string());
    match rng.random_range(0..4) {
        0 => text,
        1 if exact.contains('.') => format!("{exact}0000001"),
        2 if exact.contains('.') => format!("{}4999", exact.trim_end_matches('5')),
        _ => exact,
    }
}

/// A number of any size and form.
pub(super) fn number(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let sign = sign(rng);
    let text = match rng.random_range(0..14) {
        0..=2 => return everyday(rng),
        3 => format!("{sign}{}", rng.random::<i64>().unsigned_abs()),
        4 => {
            let (whole, fraction) = (rng.random_range(0..25), rng.random_range(1..40));
            format!("{sign}{}.{}", digits(rng, whole), digits(rng, fraction))
        }
        5 => format!(
            "{sign}{}.{}e{}",
            digits(rng, 1),
            digits(rng, 20),
            rng.random_range(-40..40)
        ),
        6 => format!("{sign}{}e{}", digits(rng, 4), rng.random_range(-4_960..4_940)),
        7 => format!("{sign}{}e{}", digits(rng, 18), rng.random_range(-345..310)),
        8 => format!("{:e}", double(rng)),
        9 => format!("{sign}{}", double(rng).abs()),
        10 | 11 => format!("{sign}{}", tie(rng)),
        12 => {
            let count = rng.random_range(1..25);
            let mut hexadecimal = digits(rng, count);
            hexadecimal.extend(["", "a", "ff", "c0de"].choose(rng).copied());
            format!(
                "{sign}0x{hexadecimal}.{:x}p{}",
                rng.random::<u32>(),
                rng.random_range(-200..200)
            )
        }
        _ => return EDGES.choose(rng).map(|text| text.to_vec()).unwrap_or_default(),
    };
    text.into_bytes()
}

/// Something near `old`, its opposite, or half of its last bit: where cancellation and ties happen.
pub(super) fn beside(rng: &mut ChaCha8Rng, old: Option<&[u8]>) -> Vec<u8> {
    let value = old
        .and_then(LongDouble::parse)
        .and_then(|value| value.to_exact())
        .unwrap_or_else(Exact::zero);
    let size = value.to_f64().abs();
    let tiny = size * 2_f64.powi(-rng.random_range(50..68));
    let text = match rng.random_range(0..3) {
        0 => (-&value).to_string(),
        1 => format!("{tiny:e}"),
        _ => format!("-{:e}", size + tiny),
    };
    if text.len() > 5_000 || text.contains("inf") || text.contains("NaN") {
        b"1".to_vec()
    } else {
        text.into_bytes()
    }
}

/// A number with, half of the time, a character too many, too few or another.
pub(super) fn damaged(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut text = number(rng);
    if rng.random_bool(0.4) {
        return text;
    }
    for _ in 0..rng.random_range(1..3) {
        let at = rng.random_range(0..=text.len());
        let byte = b"0123456789abcdefxXpPeE+-.. \tinfty_\0,"
            .choose(rng)
            .copied()
            .unwrap_or(b'0');
        match rng.random_range(0..3) {
            0 => text.insert(at, byte),
            1 if at < text.len() => {
                text.remove(at);
            }
            _ => {
                if let Some(place) = text.get_mut(at) {
                    *place = byte;
                }
            }
        }
    }
    text
}
